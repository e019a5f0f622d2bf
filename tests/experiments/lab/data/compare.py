"""What the tests of the data set compare."""

import numpy as np

from lab.data import files as idx_files


def assert_same_files(got, expected):
    """The four arrays under their names."""
    assert list(got) == list(expected)
    for name in got:
        np.testing.assert_array_equal(got[name], expected[name], strict=True)


def assert_same_data(got, folder, train=slice(None), test=slice(None)):
    """A FashionMNIST, against rows of the files in a folder."""
    files = idx_files.from_folder(folder)
    for array, (name, whole) in zip(got[:4], files.items(), strict=True):
        dtype = np.uint8 if "images" in name else np.int32
        expected = whole[train if "train" in name else test].astype(dtype)
        np.testing.assert_array_equal(array, expected, strict=True)


def files_in(folder):
    """The paths of all files, at any depth."""
    return {path for path in folder.rglob("*") if path.is_file()}

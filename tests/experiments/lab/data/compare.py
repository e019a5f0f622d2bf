"""What the tests of the data set compare."""

import numpy as np

from lab.data import files


def assert_same_files(got, expected):
    """The four arrays under their names."""
    assert list(got) == list(expected)
    for name in got:
        np.testing.assert_array_equal(got[name], expected[name], strict=True)


def assert_same_data(got, folder):
    """A FashionMNIST, against the files in a folder."""
    expected = files.from_folder(folder)
    arrays = [*got.train, *got.test]
    for array, (name, whole) in zip(arrays, expected.items(), strict=True):
        dtype = np.uint8 if "images" in name else np.int32
        np.testing.assert_array_equal(array, whole.astype(dtype), strict=True)


def files_in(folder):
    """The paths of all files, at any depth."""
    return {path for path in folder.rglob("*") if path.is_file()}

"""The four files in a folder, and every way in which they can be bad."""

import contextlib
import gzip
import shutil
from pathlib import Path

import numpy as np
import pytest
from compare import assert_same_files
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.data import files as idx_files
from lab.data.files import DataError

OFFICIAL = idx_files.FILES
IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
TEST_IMAGES, TEST_LABELS = "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"


def test_files_are_read_as_idx_says(pristine):
    arrays = idx_files.from_folder(pristine)
    raw = gzip.decompress((pristine / f"{TEST_IMAGES}.gz").read_bytes())
    assert arrays[IMAGES].shape == (21, 28, 28)
    assert arrays[LABELS].shape == (21,)
    assert arrays[TEST_IMAGES].dtype == np.uint8
    assert arrays[TEST_IMAGES][12, 27, 26] == raw[-2]
    assert arrays[TEST_IMAGES][0, 0, 0] == raw[16]
    assert arrays[TEST_LABELS].shape == (13,)


def test_unpacked_files_are_read_too(pristine, folder):
    for packed in folder.glob("t10k*.gz"):
        packed.with_suffix("").write_bytes(gzip.decompress(packed.read_bytes()))
        packed.unlink()
    assert_same_files(idx_files.from_folder(folder), idx_files.from_folder(pristine))


@pytest.mark.skipif(
    not idx_files.INSTALLED.is_dir(), reason="Debian's dataset-fashion-mnist is missing"
)
def test_known_checksums_are_those_of_the_official_files(monkeypatch):
    monkeypatch.setattr(idx_files, "FILES", OFFICIAL)
    arrays = idx_files.from_folder(idx_files.INSTALLED)
    counts = np.bincount(arrays[LABELS]), np.bincount(arrays[TEST_LABELS])
    np.testing.assert_array_equal(counts, np.repeat([[6000], [1000]], 10, axis=1))
    assert arrays[IMAGES].mean() == pytest.approx(0.2860 * 255, abs=0.02)


def corrupt(path, change):
    raw = bytearray(gzip.decompress(path.read_bytes()))
    change(raw)
    path.write_bytes(gzip.compress(raw))


def swap(one, other):
    kept = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(kept)


BAD_FILES = {
    "empty": (lambda path: path.write_bytes(b""), "is empty"),
    "empty inside": (lambda path: path.write_bytes(gzip.compress(b"")), "is empty"),
    "cut": (lambda path: path.write_bytes(path.read_bytes()[:-9]), "is truncated or"),
    "bad gzip": (
        lambda path: path.write_bytes(path.read_bytes()[:-8] + bytes(8)),
        "is truncated or damaged .CRC",
    ),
    "web page": (
        lambda path: path.write_bytes(b"<html>"),
        "begins with .* 3c68746d6c3e",
    ),
    "magic": (lambda path: corrupt(path, lambda raw: raw.__setitem__(2, 9)), "begins"),
    "backwards": (lambda path: corrupt(path, lambda raw: raw.reverse()), "begins with"),
    "flip": (
        lambda path: corrupt(path, lambda raw: raw.__setitem__(-1, raw[-1] ^ 1)),
        "has the SHA-256 .* instead of",
    ),
    "labels": (
        lambda path: swap(path, path.with_name(f"{LABELS}.gz")),
        f"holds {LABELS}: the files are swapped",
    ),
    "test images": (
        lambda path: swap(path, path.with_name(f"{TEST_IMAGES}.gz")),
        f"holds {TEST_IMAGES}: the files are swapped",
    ),
}


@pytest.mark.parametrize(("spoil", "fault"), BAD_FILES.values(), ids=BAD_FILES)
def test_bad_file_is_named_with_its_fault_and_a_cure(folder, spoil, fault):
    path = folder / f"{IMAGES}.gz"
    spoil(path)
    text = (
        f"^load needs an intact {IMAGES}, got {path}, which {fault}.*, fetch it again"
    )
    with pytest.raises(DataError, match=text):
        idx_files.from_folder(folder)


def test_missing_files_are_named(folder):
    (folder / f"{LABELS}.gz").unlink()
    text = (
        f"four IDX files in {folder}, got none named {LABELS} .*dataset-fashion-mnist"
    )
    with pytest.raises(DataError, match=text):
        idx_files.from_folder(folder)


def test_missing_folder_is_named(tmp_path):
    with pytest.raises(DataError, match=r"got .*/nowhere .No such file or directory"):
        idx_files.from_folder(tmp_path / "nowhere")


@pytest.mark.parametrize("method", ["iterdir", "read_bytes"])
def test_missing_permission_is_named(pristine, monkeypatch, method):
    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    # Simulated: the superuser, who may run these tests, is never refused.
    monkeypatch.setattr(Path, method, refuse)
    with pytest.raises(DataError, match=f"{pristine}.*Permission denied.*permission"):
        idx_files.from_folder(pristine)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_any_flip_or_cut_gives_an_error_or_the_right_arrays(
    pristine, tmp_path_factory, data
):
    expected = idx_files.from_folder(pristine)
    name = data.draw(st.sampled_from(list(idx_files.FILES)))
    content = (pristine / f"{name}.gz").read_bytes()
    if data.draw(st.booleans(), label="unpacked"):
        content = gzip.decompress(content)
    place = data.draw(st.integers(0, len(content) - 1))
    flip = data.draw(st.integers(0, 255), label="flip, or 0 to cut")
    bad = bytearray(content)
    bad[place:] = bytes([bad[place] ^ flip]) + bad[place + 1 :] if flip else b""
    folder = tmp_path_factory.mktemp("flipped")
    shutil.copytree(pristine, folder, dirs_exist_ok=True)
    (folder / f"{name}.gz").write_bytes(bad)
    with contextlib.suppress(DataError):
        assert_same_files(idx_files.from_folder(folder), expected)

"""What is read is right or refused; what is written is whole or not there."""

import contextlib
import gzip
import resource
import shutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_idx import assert_holds

from lab.data import DataError, files, load, prepared, sources

OFFICIAL, INSTALLED = files.FILES, sources.INSTALLED
IMAGES, LABELS = "train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"
COPY = "fashion_mnist_blocks/1.0.0"


def files_in(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


def unpack(path):
    """Puts the unpacked file in the place of a .gz file."""
    path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
    path.unlink()


@pytest.mark.skipif(not INSTALLED.is_dir(), reason="dataset-fashion-mnist is missing")
def test_known_checksums_are_those_of_the_official_files(monkeypatch):
    monkeypatch.setattr(files, "FILES", OFFICIAL)
    arrays = files.from_folder(INSTALLED)
    assert_holds(arrays, INSTALLED)
    for part, rows in (("train", 6000), ("t10k", 1000)):
        labels = arrays[f"{part}-labels-idx1-ubyte"]
        np.testing.assert_array_equal(np.bincount(labels), [rows] * 10)


@pytest.fixture(scope="module")
def damageable(pristine, tmp_path_factory):
    """Ways to read, each with a folder: files packed and not, and a prepared copy."""
    folder = tmp_path_factory.mktemp("damageable")
    shutil.copytree(pristine, folder / "idx")
    for path in folder.glob("idx/t10k*"):
        unpack(path)
    prepared.prepare(folder / "copy", files.from_folder(pristine))
    return {files.from_folder: folder / "idx", prepared.read: folder / "copy"}


@pytest.mark.parametrize("read", [files.from_folder, prepared.read])
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_any_flip_or_cut_gives_an_error_or_the_right_arrays(
    pristine, damageable, read, data
):
    assert_holds(read(damageable[read]), pristine)
    path = data.draw(st.sampled_from(files_in(damageable[read])))
    good = path.read_bytes()
    place = data.draw(st.integers(0, len(good.rstrip(b"\0")) - 1), label="place")
    flip = data.draw(st.integers(0, 255), label="flip, or 0 to cut")
    rest = bytes([good[place] ^ flip]) + good[place + 1 :] if flip else b""
    path.write_bytes(good[:place] + rest)
    try:
        with contextlib.suppress(DataError):
            assert_holds(read(damageable[read]), pristine)
    finally:
        path.write_bytes(good)


BAD_FILES = {
    "another file .SHA-256 e3b0c4": lambda path: path.write_bytes(b""),
    "another file": lambda path: shutil.copy(path.with_name(LABELS), path),
    "damaged .*end-of": lambda path: path.write_bytes(path.read_bytes()[:-9]),
    "damaged .CRC": lambda path: path.write_bytes(path.read_bytes()[:-8] + bytes(8)),
    "No such file": lambda path: path.unlink(),
    "Is a directory": lambda path: path.unlink() or path.mkdir(),
}


@pytest.mark.parametrize(("fault", "spoil"), BAD_FILES.items(), ids=BAD_FILES)
def test_a_bad_file_is_named_with_its_fault(folder, fault, spoil):
    spoil(folder / IMAGES)
    with pytest.raises(DataError, match=f"IDX files in {folder}: .*{fault}") as caught:
        load(folder)
    assert IMAGES.removesuffix(".gz") in str(caught.value).splitlines()[2]


def test_a_copy_of_other_images_is_refused_or_prepared_again(folder, pristine):
    others = {name: 255 - array for name, array in files.from_folder(folder).items()}
    (folder / COPY).mkdir(parents=True)
    prepared._write(str(folder / COPY), others)
    away = (folder / IMAGES).rename(folder / "away")
    text = f"copy in {folder / COPY}: damaged .train-images.*delete {folder / COPY}"
    with pytest.raises(DataError, match=text):
        load(folder)
    assert files_in(folder / COPY)  # it is the user's to delete
    away.rename(folder / IMAGES)
    data = load(folder)
    assert_holds(data, pristine)
    assert f"IDX files in {folder}, in place of a damaged copy" in data.source
    assert load(folder).source.startswith("prepared copy")


def test_a_full_disk_is_an_error_and_leaves_nothing(folder, pristine):
    before = files_in(folder)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        text = f"100 MB to write {folder / COPY}, got .*too large.*set TFDS_DATA_DIR"
        with pytest.raises(DataError, match=text):
            load(folder)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert files_in(folder) == before
    assert_holds(load(folder), pristine)


def test_a_cache_that_cannot_be_written_is_named(pristine, home, monkeypatch):
    home.write_text("a file, not a folder")
    monkeypatch.setattr(sources, "INSTALLED", pristine)
    with pytest.raises(DataError, match=f"to write {home / COPY}.*Not a directory"):
        load()


def test_an_interrupt_leaves_nothing(folder, monkeypatch):
    def interrupted(*arguments):
        write(*arguments)
        assert list(folder.rglob("incomplete.*/*array_record*"))
        raise KeyboardInterrupt

    before, write = files_in(folder), prepared._write
    monkeypatch.setattr(prepared, "_write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        load(folder)
    assert files_in(folder) == before
    assert not list(folder.rglob("incomplete.*"))


def test_a_faster_process_does_no_harm(folder, pristine, monkeypatch):
    def overtaken(*arguments):
        patch.undo()
        assert_holds(load(folder), pristine)
        prepared._write(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(prepared, "_write", overtaken)
        assert_holds(load(folder), pristine)
    assert [path.name for path in (folder / COPY).parent.iterdir()] == ["1.0.0"]

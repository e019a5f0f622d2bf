"""The prepared copy: damage, a full disk, an interrupt, several processes at once."""

import contextlib
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from compare import assert_same_data, files_in
from hypothesis import given, settings
from hypothesis import strategies as st

import tiny_idx
from lab.data import files as idx_files
from lab.data import sources as dataset
from lab.data.files import DataError

COPY = "fashion_mnist_blocks/1.0.0"


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_damaged_copy_gives_an_error_or_the_right_arrays(pristine, prepared, data):
    path = data.draw(st.sampled_from(sorted(files_in(prepared))))
    third = data.draw(st.booleans(), label="read only the middle third")
    good = path.read_bytes()
    place = data.draw(st.integers(0, len(good.rstrip(b"\0")) - 1), label="place")
    flip = data.draw(st.integers(0, 255), label="flip, or 0 to cut")
    rest = bytes([good[place] ^ flip]) + good[place + 1 :] if flip else b""
    path.write_bytes(good[:place] + rest)
    try:
        with contextlib.suppress(DataError):
            if third:
                got = dataset.load(prepared, shard=(1, 3))
                assert_same_data(got, pristine, train=slice(7, 14), test=slice(4, 8))
            else:
                assert_same_data(dataset.load(prepared), pristine)
    finally:
        path.write_bytes(good)


def misplace(folder):
    """Gives the folder a well-formed copy of other images."""
    other = Path(shutil.copytree(folder, folder.with_name("other")))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(idx_files, "FILES", tiny_idx.write(other, 21, 13, seed=1))
        dataset.load(other)
    shutil.copytree(other / COPY, folder / COPY)


def test_a_copy_of_other_images_is_refused(folder):
    misplace(folder)
    for path in folder.glob("*.gz"):
        path.unlink()
    text = (
        f"got {folder / COPY}, which is damaged .train-images.* wrong SHA-256.*delete"
    )
    with pytest.raises(DataError, match=text):
        dataset.load(folder)
    assert (folder / COPY).is_dir()


def test_a_damaged_copy_is_prepared_again_where_the_files_are(pristine, folder):
    misplace(folder)
    data = dataset.load(folder)
    assert_same_data(data, pristine)
    assert f"IDX files in {folder}, in place of a damaged copy; prepared" in data.source
    assert dataset.load(folder).source.startswith("prepared copy")


def test_a_full_disk_is_an_error_and_leaves_nothing(folder, pristine):
    before = files_in(folder)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        text = f"100 MB to write {folder / COPY}, got .*too large.*set TFDS_DATA_DIR"
        with pytest.raises(DataError, match=text):
            dataset.load(folder)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert files_in(folder) == before
    assert_same_data(dataset.load(folder), pristine)


def test_a_cache_that_cannot_be_written_is_named(pristine, home, monkeypatch):
    home.write_text("a file, not a folder")
    monkeypatch.setattr(idx_files, "INSTALLED", pristine)
    with pytest.raises(DataError, match=f"to write {home / COPY}.*Not a directory"):
        dataset.load()


def test_an_interrupt_leaves_nothing(folder, monkeypatch):
    def interrupted(self, images, labels):
        yield 0, {"image": images[:8], "label": labels[:8]}
        assert list(folder.rglob("incomplete.*"))
        raise KeyboardInterrupt

    before = files_in(folder)
    builder = dataset.FashionMnistBlocks
    monkeypatch.setattr(builder, "_generate_examples", interrupted)
    with pytest.raises(KeyboardInterrupt):
        dataset.load(folder)
    assert files_in(folder) == before
    assert not list(folder.rglob("incomplete.*"))


def test_a_faster_process_does_no_harm(folder, pristine, monkeypatch):
    def overtaken(builder):
        patch.undo()
        rivals.append(dataset.load(folder))
        builder.download_and_prepare()

    rivals = []
    builder = dataset.FashionMnistBlocks
    with monkeypatch.context() as patch:
        patch.setattr(builder, "download_and_prepare", overtaken)
        mine = dataset.load(folder)
    assert_same_data(mine, pristine)
    assert_same_data(*rivals, pristine)
    assert len(list((folder / COPY).parent.iterdir())) == 1


def test_processes_that_prepare_at_once_all_get_good_data(folder, tmp_path):
    program = tmp_path / "program.py"
    program.write_text(
        "import sys, pathlib\nfrom lab.data import sources as dataset\n"
        "data = dataset.load(pathlib.Path(sys.argv[1]))\n"
        "assert 'tensorflow' not in sys.modules\n"
        "print(len(data.train_images), data.test_labels.sum())\n"
    )
    command = [
        sys.executable,
        "-W",
        "error",
        tiny_idx.__file__,
        folder,
        program,
        folder,
    ]
    started = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)
    ]
    said = {process.communicate()[0].splitlines()[-1] for process in started}
    labels = idx_files.from_folder(folder)["t10k-labels-idx1-ubyte"]
    assert said == {f"21 {labels.sum()}"}
    assert len(list((folder / COPY).parent.iterdir())) == 1

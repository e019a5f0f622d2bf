"""Loading the data set: where it comes from, and how it is divided."""

import shutil

import numpy as np
import pytest
from compare import assert_same_data
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.data import files as idx_files
from lab.data import sources as dataset
from lab.data.files import DataError

COPY = "fashion_mnist_blocks/1.0.0"


@pytest.fixture(autouse=True)
def empty_machine(home, tmp_path, monkeypatch):
    """No prepared copy, no package, no network, no apt-get."""
    monkeypatch.setattr(idx_files, "INSTALLED", tmp_path / "not installed")
    monkeypatch.setattr(idx_files, "from_download", failing("URL: no answer"))
    monkeypatch.setattr(idx_files, "from_debian", failing("apt-get: no package"))


def failing(text):
    def fetch():
        raise DataError(text)

    return fetch


def test_first_start_prepares_and_second_start_reads_the_copy(pristine, folder, capsys):
    first = dataset.load(folder)
    for path in folder.glob("*.gz"):
        path.unlink()
    second = dataset.load(folder)
    assert_same_data(first, pristine)
    assert_same_data(second, pristine)
    assert first.source == f"IDX files in {folder}; prepared in {folder / COPY}"
    assert second.source == f"prepared copy in {folder / COPY}"
    out, err = capsys.readouterr()
    assert out == f"Data: {first.source}\nData: {second.source}\n"
    assert err == ""


@settings(max_examples=25, deadline=None)
@given(parts=st.integers(1, 13))
def test_parts_are_contiguous_even_and_complete(pristine, prepared, parts):
    loaded = [dataset.load(prepared, shard=(part, parts)) for part in range(parts)]
    whole = [np.concatenate(arrays) for arrays in list(zip(*loaded, strict=True))[:4]]
    assert_same_data(whole, pristine)
    for arrays in list(zip(*loaded, strict=True))[:4]:
        sizes = {len(array) for array in arrays}
        assert max(sizes) - min(sizes) <= 1


def test_a_part_reads_only_the_records_it_needs(prepared, monkeypatch, capsys):
    asked = []
    source = dataset.tfds.core.data_sources.array_record.ArrayRecordDataSource
    getitems = source.__getitems__
    monkeypatch.setattr(
        source,
        "__getitems__",
        lambda self, keys: asked.append(list(keys)) or getitems(self, keys),
    )
    dataset.load(prepared, shard=(1, 3))  # images 7 to 13, test images 4 to 7
    assert asked == [[0, 1], [0]]
    assert capsys.readouterr().out == ""  # only process 0 speaks


@pytest.mark.parametrize("shard", [(-1, 2), (2, 2), (0, 0), (0, 14)])
def test_parts_that_do_not_exist_are_refused(prepared, shard):
    text = r"load needs shard=\(i, n\) with 0 <= i < n <= 13, got shard=\(-?\d"
    with pytest.raises(ValueError, match=text):
        dataset.load(prepared, shard=shard)


def test_sources_are_tried_in_order(pristine, folder, home, monkeypatch):
    def files():
        return idx_files.from_folder(pristine)

    def source():
        shutil.rmtree(home)
        return dataset.load().source

    home.mkdir()
    monkeypatch.setattr(idx_files, "from_debian", files)
    assert source().startswith("Debian's package dataset-fashion-mnist; prepared in")
    monkeypatch.setattr(idx_files, "from_download", files)
    assert source().startswith(f"download from {idx_files.URL}; prepared in {home}")
    monkeypatch.setattr(idx_files, "INSTALLED", folder)
    assert source().startswith(f"IDX files in {folder}; prepared in {home}")
    assert dataset.load().source == f"prepared copy in {home / COPY}"


def test_a_named_folder_is_the_only_place_searched(pristine, tmp_path, monkeypatch):
    monkeypatch.setattr(idx_files, "INSTALLED", pristine)
    dataset.load()
    files = idx_files.from_folder(pristine)
    monkeypatch.setattr(idx_files, "from_download", lambda: files)
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(DataError, match=f"four IDX files in {empty}, got none named"):
        dataset.load(empty)


def test_a_folder_that_cannot_be_written_is_read(pristine, folder, home, monkeypatch):
    monkeypatch.setattr(dataset.os, "access", lambda path, mode: path != folder)
    data = dataset.load(folder)
    assert_same_data(data, pristine)
    assert data.source == f"IDX files in {folder}; prepared in {home / COPY}"


def test_nothing_found_gives_one_message_with_every_way_out(home, tmp_path):
    with pytest.raises(DataError) as caught:
        dataset.load()
    text = str(caught.value)
    for part in (
        f"{home / COPY}: no intact prepared copy",
        str(tmp_path / "not installed"),
        "URL: no answer",
        "apt-get: no package",
        "apt-get install dataset-fashion-mnist",
        *(f"{name}.gz" for name in idx_files.FILES),
        "--data-dir",
    ):
        assert part in text

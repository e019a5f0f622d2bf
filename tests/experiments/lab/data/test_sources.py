"""Loading the data set: where it comes from."""

import shutil

import pytest
from compare import assert_same_data

from lab.data import DataError, fetch, files, load, sources

COPY = "fashion_mnist_blocks/1.0.0"


@pytest.fixture(autouse=True)
def empty_machine(home, tmp_path, monkeypatch):
    """No prepared copy, no package, no network, no apt-get."""
    monkeypatch.setattr(fetch, "INSTALLED", tmp_path / "not installed")
    monkeypatch.setattr(fetch, "from_download", failing("URL: no answer"))
    monkeypatch.setattr(fetch, "from_debian", failing("apt-get: no package"))


def failing(text):
    def fetch():
        raise DataError(text)

    return fetch


def test_first_start_prepares_and_second_start_reads_the_copy(pristine, folder, capsys):
    first = load(folder)
    for path in folder.glob("*.gz"):
        path.unlink()
    second = load(folder)
    assert_same_data(first, pristine)
    assert_same_data(second, pristine)
    assert first.source == f"IDX files in {folder}; prepared in {folder / COPY}"
    assert second.source == f"prepared copy in {folder / COPY}"
    assert capsys.readouterr() == ("", "")


def test_the_cache_can_be_named(pristine, home, tmp_path, monkeypatch):
    monkeypatch.setattr(fetch, "INSTALLED", pristine)
    cache = tmp_path / "cache"
    assert load(cache=cache).source.endswith(f"prepared in {cache / COPY}")
    assert load(cache=cache).source == f"prepared copy in {cache / COPY}"
    assert not home.exists()


def test_sources_are_tried_in_order(pristine, folder, home, monkeypatch):
    def arrays():
        return files.from_folder(pristine)

    def source():
        shutil.rmtree(home)
        return load().source

    home.mkdir()
    monkeypatch.setattr(fetch, "from_debian", arrays)
    assert source().startswith("Debian's package dataset-fashion-mnist; prepared in")
    monkeypatch.setattr(fetch, "from_download", arrays)
    assert source().startswith(f"download from {files.URL}; prepared in {home}")
    monkeypatch.setattr(fetch, "INSTALLED", folder)
    assert source().startswith(f"IDX files in {folder}; prepared in {home}")
    assert load().source == f"prepared copy in {home / COPY}"


def test_a_named_folder_is_the_only_place_searched(pristine, tmp_path, monkeypatch):
    monkeypatch.setattr(fetch, "INSTALLED", pristine)
    load()
    arrays = files.from_folder(pristine)
    monkeypatch.setattr(fetch, "from_download", lambda: arrays)
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(DataError, match=f"four IDX files in {empty}, got none named"):
        load(empty)


def test_a_folder_that_cannot_be_written_is_read(pristine, folder, home, monkeypatch):
    monkeypatch.setattr(sources.os, "access", lambda path, mode: path != folder)
    data = load(folder)
    assert_same_data(data, pristine)
    assert data.source == f"IDX files in {folder}; prepared in {home / COPY}"


def test_nothing_found_gives_one_message_with_every_way_out(home, tmp_path):
    with pytest.raises(DataError) as caught:
        load()
    text = str(caught.value)
    for part in (
        f"{home / COPY}: no intact prepared copy",
        str(tmp_path / "not installed"),
        "URL: no answer",
        "apt-get: no package",
        "apt-get install dataset-fashion-mnist",
        *(f"{name}.gz" for name in files.FILES),
        "--data-dir",
    ):
        assert part in text

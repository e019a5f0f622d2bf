"""Tiny files in the place of the official ones."""

import shutil
from pathlib import Path

import pytest

import tiny_idx
from lab.data import sources as dataset


@pytest.fixture(scope="module")
def pristine(tmp_path_factory):
    """A folder of tiny files that count as the official ones; not to be changed."""
    folder = tmp_path_factory.mktemp("pristine")
    with (
        tiny_idx.official(folder, train=21, test=13),
        pytest.MonkeyPatch.context() as it,
    ):
        it.setattr(dataset, "BLOCK", 8)  # several records, the last one not full
        yield folder


@pytest.fixture(scope="module")
def prepared(pristine, tmp_path_factory):
    """A folder with nothing but a prepared copy; not to be changed for long."""
    folder = shutil.copytree(pristine, tmp_path_factory.mktemp("prepared") / "data")
    dataset.load(folder)
    for path in folder.glob("*.gz"):
        path.unlink()
    return folder


@pytest.fixture
def folder(pristine, tmp_path):
    """A copy that a test may change."""
    return Path(shutil.copytree(pristine, tmp_path / "idx"))


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """The folder for prepared copies where none is named: empty."""
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "home"))
    return tmp_path / "home"

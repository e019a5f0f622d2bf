"""Tiny files in the place of the official ones, on a machine that has nothing."""

import shutil
import tempfile
from pathlib import Path

import pytest
import tiny_idx

from lab.data import prepared, sources


@pytest.fixture(scope="module")
def pristine(tmp_path_factory):
    """A folder of tiny files that count as the official ones; not to be changed."""
    folder = tmp_path_factory.mktemp("pristine")
    with (
        tiny_idx.official(folder, train=21, test=13),
        pytest.MonkeyPatch.context() as it,
    ):
        it.setattr(prepared, "BLOCK", 8)  # several records, the last one not full
        yield folder


@pytest.fixture
def folder(pristine, tmp_path):
    """A copy that a test may change."""
    return Path(shutil.copytree(pristine, tmp_path / "idx"))


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """The empty cache of a machine without package, network and apt-get.

    Nothing is left in its temporary folder, whatever happens.
    """
    monkeypatch.setattr(sources, "INSTALLED", tmp_path / "not/installed")
    monkeypatch.setattr(sources, "URL", "http://127.0.0.1:1/")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "home"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    yield tmp_path / "home"
    assert list((tmp_path / "temporary").iterdir()) == []

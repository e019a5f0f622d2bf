"""Results on disk."""

import errno
import math
import os

import pytest
from matplotlib.figure import Figure

from lab import LabError, saved

FILE = saved.ResultsFile("results.json", "a b", lambda results: True)


def raising(error):
    def run(*_, **__):
        raise error

    return run


def test_json_has_null_for_what_is_not_finite(tmp_path):
    path = tmp_path / "results.json"
    content = {"a": [1.5, math.nan, (math.inf, -math.inf)], "b": {"c": True}}
    saved.write_json(path, content)
    expected = {"a": [1.5, None, [None, None]], "b": {"c": True}}
    assert FILE.read(tmp_path) == expected
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "write",
    [
        lambda path: saved.write_json(path, {}),
        lambda path: saved.save_figure(Figure(), path),
    ],
    ids=["json", "figure"],
)
def test_what_cannot_be_written_leaves_what_was_there(tmp_path, monkeypatch, write):
    path = tmp_path / "file"
    path.write_text("before")
    full = raising(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    monkeypatch.setattr(type(path), "write_text", full)
    monkeypatch.setattr(Figure, "savefig", full)
    with pytest.raises(LabError, match=r"file could not be written .No space left"):
        write(path)
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_results_name_nobodys_home(monkeypatch):
    monkeypatch.setenv("HOME", "/home/someone")
    assert saved.portable("copy in /home/someone/data") == "copy in ~/data"
    assert saved.portable("/home/someone; in /home/someone") == "~; in ~"


def test_a_home_that_is_the_root_is_in_no_text(monkeypatch):
    monkeypatch.setenv("HOME", "/")
    assert saved.portable("http://a.b/ in /data") == "http://a.b/ in /data"


@pytest.mark.parametrize(
    "path",
    [
        "/home/some.one-else",
        "/home/some.one.bak",
        "/home/some.ones",
        "/home/some-one",
        "/mnt/home/some.one",
    ],
)
def test_a_path_that_only_looks_like_home_stays(monkeypatch, path):
    monkeypatch.setenv("HOME", "/home/some.one")
    assert saved.portable(f"in {path}/data") == f"in {path}/data"

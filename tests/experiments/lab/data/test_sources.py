"""Loading the data set: where it comes from; no network is used here."""

import contextlib
import os
import re
import shutil
import signal
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler
from http.server import ThreadingHTTPServer as Server

import numpy as np
import pytest
from tiny_idx import assert_holds

from lab.data import DataError, files, load, sources

COPY = "fashion_mnist_blocks/1.0.0"


def test_first_start_prepares_and_second_start_reads_the_copy(pristine, folder, capfd):
    first = load(folder)
    for path in folder.glob("*.gz"):
        path.unlink()
    second = load(folder)
    assert first.source == f"IDX files in {folder}; prepared in {folder / COPY}"
    assert second.source == f"prepared copy in {folder / COPY}"
    for data in (first, second):
        assert_holds(data, pristine)
        assert [a.dtype for a in data.train] == [np.uint8, np.int32]
    assert capfd.readouterr() == ("", "")


def test_the_cache_can_be_named(pristine, home, tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "INSTALLED", pristine)
    cache = tmp_path / "cache"
    assert load(cache=cache).source.endswith(f"prepared in {cache / COPY}")
    assert load(cache=cache).source == f"prepared copy in {cache / COPY}"
    assert not home.exists()


@pytest.mark.parametrize("named", ["", "~/tensorflow_datasets"])
def test_the_usual_cache_is_in_the_home_folder(pristine, tmp_path, monkeypatch, named):
    monkeypatch.setattr(sources, "INSTALLED", pristine)
    monkeypatch.setenv("HOME", str(tmp_path / "own"))
    monkeypatch.setenv("TFDS_DATA_DIR", named)
    cache = tmp_path / "own" / "tensorflow_datasets"
    assert load().source.endswith(f"prepared in {cache / COPY}")


def test_sources_are_tried_in_order(pristine, folder, home, monkeypatch):
    def source():
        shutil.rmtree(home, ignore_errors=True)
        return load().source

    arrays = files.from_folder(pristine)
    monkeypatch.setattr(sources, "from_debian", lambda: arrays)
    assert source().startswith("Debian's package dataset-fashion-mnist; prepared in")
    monkeypatch.setattr(sources, "from_download", lambda: arrays)
    assert source().startswith(f"download from {sources.URL}; prepared in {home}")
    monkeypatch.setattr(sources, "INSTALLED", folder)
    assert source().startswith(f"IDX files in {folder}; prepared in {home}")
    assert load().source == f"prepared copy in {home / COPY}"
    with pytest.raises(DataError):  # a folder that is named is the only place
        load(folder / "empty")


def test_a_folder_that_cannot_be_written_is_read(pristine, folder, home, monkeypatch):
    monkeypatch.setattr(
        os, "access", lambda path, _: path not in (folder, folder / COPY)
    )
    data = load(folder)
    assert_holds(data, pristine)
    assert data.source == f"IDX files in {folder}; prepared in {home / COPY}"


def test_nothing_found_gives_one_message_with_every_way_out(home, tmp_path):
    with pytest.raises(DataError) as caught:
        load()
    texts = [
        "load needs Fashion-MNIST's four files",
        f"- prepared copy in {home / COPY}: there is none",
        f"- IDX files in {tmp_path}/not/installed: .*No such file",
        f"- download from {sources.URL}: .*refused",
        "- Debian's package dataset-fashion-mnist: .*No such file.*'apt-get'",
        "Any one of these helps:",
        "- apt-get install dataset-fashion-mnist",
        "- --data-dir FOLDER with " + ".*".join(f"{name}.gz" for name in files.FILES),
        f"- {home / COPY} from a machine",
    ]
    for text, line in zip(texts, str(caught.value).splitlines(), strict=True):
        assert re.match(text, line)


@contextlib.contextmanager
def serve(handler):
    """A server on the loopback address only, in the place of the data set's home."""
    handler.log_message = lambda *_: None
    with (
        Server(("127.0.0.1", 0), handler) as server,
        pytest.MonkeyPatch.context() as it,
    ):
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        it.setattr(sources, "URL", f"http://127.0.0.1:{server.server_port}/")
        try:
            yield sources.URL
        finally:
            server.shutdown()


def test_the_files_are_downloaded_and_the_user_is_told(pristine, capsys):
    class Files(SimpleHTTPRequestHandler):
        def translate_path(self, path):
            return f"{pristine}{path}"

    with serve(Files) as url:
        assert_holds(load(), pristine)
    told = capsys.readouterr().err.strip()  # an older rich adds a line
    assert told == f"Downloading Fashion-MNIST (31 MB) from {url}"


STARTED = b"HTTP/1.0 200 OK\r\nContent-Length: 1000\r\n\r\n\x1f\x8b"


@pytest.mark.parametrize(
    ("sent", "pause", "fault"),
    [
        (b"HTTP/1.0 404 Not Found\r\n\r\n", 0, "404"),
        (STARTED, 0, "IncompleteRead|damaged"),
        (b"nonsense\r\n", 0, "nonsense"),
        (b"", 10, "no answer|timed out"),
        (STARTED, 10, "timed out"),
    ],
)
def test_a_download_that_fails_says_how(monkeypatch, sent, pause, fault):
    class Bad(BaseHTTPRequestHandler):
        def do_GET(self):
            self.wfile.write(sent)
            time.sleep(pause)

    monkeypatch.setattr(sources, "PATIENCE", 0.5 if pause else 30.0)
    with serve(Bad) as url, pytest.raises(DataError, match=f"from {url}: .*({fault})"):
        load()


def test_a_download_that_trickles_is_given_up(monkeypatch):
    class Slow(BaseHTTPRequestHandler):
        def do_GET(self):
            self.wfile.write(STARTED)
            with contextlib.suppress(OSError):  # until the other side has left
                while True:
                    self.wfile.write(b"x")
                    time.sleep(0.02)

    monkeypatch.setattr(sources, "LONGEST", 0.2)
    with serve(Slow) as url, pytest.raises(DataError, match=f"{url}: not done in 0 se"):
        load()


def deaf(*_, **__):
    """A name look-up without an answer, which hears no Ctrl-C."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    time.sleep(20)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    raise OSError


def test_a_download_does_not_wait_for_a_slow_name_server(monkeypatch):
    monkeypatch.setattr(sources, "PATIENCE", 0.1)
    monkeypatch.setattr(socket, "getaddrinfo", deaf)
    start, before = time.monotonic(), set(threading.enumerate())
    with pytest.raises(DataError, match=f"{sources.URL}: no answer in 0 seconds"):
        load()
    assert time.monotonic() - start < 10
    (asking,) = set(threading.enumerate()) - before
    assert asking.daemon  # the end of the program does not wait for it either


@pytest.fixture
def commands(tmp_path):
    """A function that makes apt-get and dpkg-deb of scripts."""

    def make(**scripts):
        (tmp_path / "bin").mkdir()
        for name, script in scripts.items():
            command = tmp_path / "bin" / name.replace("_", "-")
            command.write_text(f"#!/bin/sh\nPATH=/usr/bin:/bin\n{script}\n")
            command.chmod(0o755)

    return make


# Python itself says so of the program that it has just killed
@pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning")
@pytest.mark.parametrize("slow", ["name server", "apt-get"])
def test_ctrl_c_ends_a_fetch_at_once(commands, monkeypatch, slow):
    commands(apt_get="exec sleep 20")
    if slow == "name server":
        monkeypatch.setattr(socket, "getaddrinfo", deaf)
    main = threading.main_thread().ident
    stop = threading.Timer(0.3, signal.pthread_kill, (main, signal.SIGINT))
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):  # noqa: PT012 not before it is awaited
        stop.start()
        load()
    assert 0.2 < time.monotonic() - start < 10


def test_debian_package_is_fetched_and_unpacked(pristine, commands, capsys):
    there = f".{sources.INSTALLED}"
    commands(
        apt_get='case "$*" in *Timeout=5*Retries=0*) '
        "touch dataset-fashion-mnist_1_all.deb;; esac",
        dpkg_deb=f"test -f $2 && mkdir -p {there} && cp {pristine}/* {there}",
    )
    assert_holds(load(), pristine)
    told = "Fetching Debian's package dataset-fashion-mnist (31 MB)\n"
    assert capsys.readouterr().err.endswith(told)


def test_debian_failure_says_what_apt_said(commands):
    commands(apt_get="echo E: Unable to locate >&2; exit 100")
    with pytest.raises(DataError, match="apt-get said: E: Unable to locate"):
        load()


def test_apt_that_hangs_is_given_up(commands, monkeypatch):
    monkeypatch.setattr(sources, "LONGEST", 0.1)
    commands(apt_get="exec sleep 5")
    with pytest.raises(DataError, match=r"'apt-get'.* timed out after 0\.1 s"):
        load()

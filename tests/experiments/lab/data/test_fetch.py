"""The four files from a server or from Debian's package; no network is used here."""

import contextlib
import socket
import threading
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
from compare import assert_same_files

from lab.data import files as idx_files
from lab.data.files import DataError


@contextlib.contextmanager
def serve(handler):
    """A server on the loopback address only."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def test_download_gives_the_four_files(pristine, monkeypatch):
    with serve(partial(Quiet, directory=pristine)) as url:
        monkeypatch.setattr(idx_files, "URL", url)
        assert_same_files(idx_files.from_download(), idx_files.from_folder(pristine))


class Cut(Quiet):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(b"\x1f\x8b")


class Stalled(Cut):
    def do_GET(self):
        super().do_GET()
        time.sleep(0.5)


class Silent(Quiet):
    def do_GET(self):
        time.sleep(0.5)


class Nonsense(Quiet):
    def do_GET(self):
        self.wfile.write(b"nonsense\r\n")


@pytest.mark.parametrize(
    ("handler", "fault"),
    [
        (partial(Quiet, directory="/nonexistent"), "404"),
        (Cut, "truncated or damaged"),
        (Nonsense, "nonsense"),
        (Silent, "no answer|timed out"),
        (Stalled, "timed out"),
    ],
)
def test_download_that_fails_names_the_address(pristine, monkeypatch, handler, fault):
    monkeypatch.setattr(idx_files, "PATIENCE", 0.1)
    with serve(handler) as url:
        monkeypatch.setattr(idx_files, "URL", url)
        with pytest.raises(
            DataError, match=f"{url}train-images-idx3-ubyte.gz.*({fault})"
        ):
            idx_files.from_download()


def test_download_does_not_wait_for_a_slow_name_server(pristine, monkeypatch):
    forever = threading.Event()
    monkeypatch.setattr(idx_files, "PATIENCE", 0.1)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: forever.wait(30))
    start = time.monotonic()
    with pytest.raises(DataError, match=r"amazonaws.*: no answer in 0 seconds"):
        idx_files.from_download()
    assert time.monotonic() - start < 5
    forever.set()


def fake_commands(folder, monkeypatch, **scripts):
    for name, script in scripts.items():
        command = folder / name.replace("_", "-")
        command.write_text(f"#!/bin/sh\n{script}\n")
        command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


def test_debian_package_is_fetched_and_unpacked(pristine, tmp_path, monkeypatch):
    there = f".{idx_files.INSTALLED}"
    fake_commands(
        tmp_path,
        monkeypatch,
        apt_get='case "$*" in *Retries=0*Timeout=5*|*Timeout=5*Retries=0*) '
        "touch dataset-fashion-mnist_1_all.deb;; esac",
        dpkg_deb=f"test -e $2 && mkdir -p {there} && cp {pristine}/* {there}",
    )
    assert_same_files(idx_files.from_debian(), idx_files.from_folder(pristine))


def test_debian_failure_says_what_apt_said(tmp_path, monkeypatch):
    script = "echo E: Unable to locate package >&2; exit 100"
    fake_commands(tmp_path, monkeypatch, apt_get=script, dpkg_deb="")
    with pytest.raises(DataError, match="apt-get said: E: Unable to locate package"):
        idx_files.from_debian()


def test_without_apt_debian_is_no_source(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DataError, match="no apt-get here"):
        idx_files.from_debian()

"""The four official files of Fashion-MNIST: where to get them, and are they intact.

Every way to get them returns the same thing, one uint8 array for each of FILES, or
raises a DataError that says which file, what is wrong with it, and what to do.
"""

import gzip
import hashlib
import http.client
import shutil
import subprocess
import tempfile
import threading
import urllib.error
import urllib.request
import zlib
from concurrent.futures import Future
from pathlib import Path
from typing import NamedTuple

import numpy as np
from rich.console import Console
from rich.progress import Progress

Arrays = dict[str, np.ndarray]


class DataError(RuntimeError):
    """The images cannot be had; the text says why and what to do."""


class Idx(NamedTuple):
    """What an unpacked IDX file of unsigned bytes must hold."""

    shape: tuple[int, ...]
    sha256: str


FILES = {
    "train-images-idx3-ubyte": Idx(
        (60_000, 28, 28),
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    ),
    "train-labels-idx1-ubyte": Idx(
        (60_000,),
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    ),
    "t10k-images-idx3-ubyte": Idx(
        (10_000, 28, 28),
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    ),
    "t10k-labels-idx1-ubyte": Idx(
        (10_000,),
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    ),
}
URL = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
PACKAGE = "dataset-fashion-mnist"
INSTALLED = Path(
    "/usr/share/datasets/fashion-mnist"
)  # where Debian's package puts them
PATIENCE = 5.0  # seconds that a server may stay silent


def from_folder(folder: Path) -> Arrays:
    """Reads the four files from a folder, each as .gz or unpacked."""
    try:
        there = {path.name: path for path in folder.iterdir()}
    except OSError as error:
        raise DataError(
            f"load needs a folder that can be read, got {folder} ({error.strerror}), "
            "check its name and its permissions."
        ) from error
    paths = {name: there.get(f"{name}.gz", there.get(name)) for name in FILES}
    missing = [name for name, path in paths.items() if path is None]
    if missing:
        raise DataError(
            f"load needs a prepared copy or the four IDX files in {folder}, got none "
            f"named {' or '.join(missing)} (.gz or unpacked), {_cure()}"
        )
    arrays = {}
    for name, path in paths.items():
        try:
            data = path.read_bytes()
        except OSError as error:
            raise DataError(
                f"load needs to read {path}, got {error.strerror}, check that it is a "
                "file and that you have the permission."
            ) from error
        arrays[name] = _check(name, data, str(path))
    return arrays


def from_download() -> Arrays:
    """Fetches the four files from the data set's home; gives up on a silent server."""
    console = Console(stderr=True)
    arrays = {}
    with Progress(
        console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        for name in FILES:
            url = f"{URL}{name}.gz"
            try:
                with _answer(url) as answer:
                    size = answer.headers.get("Content-Length")
                    task = bar.add_task(f"{name}.gz", total=size and int(size))
                    packed = bytearray()
                    while chunk := answer.read1(1 << 16):
                        packed += chunk
                        bar.update(task, completed=len(packed))
            except (OSError, http.client.HTTPException) as error:
                raise DataError(f"{url}: {str(error).strip('<>')}") from error
            arrays[name] = _check(name, bytes(packed), url)
    return arrays


def from_debian() -> Arrays:
    """Fetches Debian's package with apt-get, which needs no root, and unpacks it."""
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise DataError(f"{PACKAGE}: there is no apt-get here to fetch it.")
    # The last option keeps a dead mirror from being asked again and again.
    options = [
        f"Acquire::{scheme}::Timeout={PATIENCE:.0f}" for scheme in ("http", "https")
    ]
    options = [f"-o{option}" for option in (*options, "Acquire::Retries=0")]
    console = Console(stderr=True)
    with tempfile.TemporaryDirectory() as scratch:
        try:
            with console.status(f"apt-get download {PACKAGE} (31 MB)"):
                _run(["apt-get", *options, "download", PACKAGE], scratch)
                [package] = Path(scratch).glob("*.deb")
                _run(["dpkg-deb", "-x", package.name, "."], scratch)
        except subprocess.CalledProcessError as error:
            raise DataError(
                f"{PACKAGE}: {error.cmd[0]} said: {' '.join(error.stderr.split())}"
            ) from error
        except (OSError, ValueError, subprocess.TimeoutExpired) as error:
            raise DataError(f"{PACKAGE}: {error}") from error
        return from_folder(Path(scratch) / INSTALLED.relative_to("/"))


def digest(array: np.ndarray) -> str:
    """Returns the SHA-256 of an array in the form of an unpacked IDX file."""
    sha256 = hashlib.sha256(_header(array.shape))
    sha256.update(np.ascontiguousarray(array))
    return sha256.hexdigest()


def _header(shape: tuple[int, ...]) -> bytes:
    # Two zeros, 8 for unsigned bytes, the number of axes, then each length.
    return bytes([0, 0, 8, len(shape)]) + np.array(shape, ">u4").tobytes()


def _check(name: str, data: bytes, origin: str) -> np.ndarray:
    """Unpacks the file; returns its array, or says exactly what is wrong with it."""
    wanted = FILES[name]
    header = _header(wanted.shape)
    try:
        raw = gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data
    except (EOFError, OSError, zlib.error) as error:
        raise DataError(
            f"load needs an intact {name}, got {origin}, which is truncated or damaged "
            f"({error}), {_cure()}"
        ) from error
    sha256 = hashlib.sha256(raw).hexdigest()
    if sha256 == wanted.sha256:
        return np.frombuffer(raw, np.uint8, offset=len(header)).reshape(wanted.shape)
    twins = [other for other, file in FILES.items() if file.sha256 == sha256]
    if not raw:
        fault = "is empty"
    elif twins:
        fault = f"holds {twins[0]}: the files are swapped"
    elif not raw.startswith(header):
        start = raw[: len(header)].hex()
        fault = f"begins with the bytes {start} instead of {header.hex()}"
    else:
        fault = f"has the SHA-256 {sha256[:12]}... instead of {wanted.sha256[:12]}..."
    raise DataError(
        f"load needs an intact {name}, got {origin}, which {fault}, {_cure()}"
    )


def _cure() -> str:
    return f"fetch it again from {URL} or from Debian's package {PACKAGE}."


def _answer(url: str) -> http.client.HTTPResponse:
    """Opens url, or raises OSError: the time limit holds for the name look-up too."""
    future: Future = Future()

    def ask() -> None:
        try:
            future.set_result(urllib.request.urlopen(url, timeout=PATIENCE))
        except Exception as error:
            if isinstance(error, urllib.error.HTTPError):
                error.close()  # It holds the connection.
            future.set_exception(error)

    # A thread that does not keep the program alive: a name look-up cannot be stopped.
    threading.Thread(target=ask, daemon=True).start()
    try:
        return future.result(PATIENCE)
    except TimeoutError as error:
        raise OSError(f"no answer in {PATIENCE:.0f} seconds") from error


def _run(command: list[str], folder: str) -> None:
    subprocess.run(
        command, cwd=folder, check=True, capture_output=True, text=True, timeout=120
    )

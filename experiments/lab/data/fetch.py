"""Fetching the four files: from the data set's home, or as Debian's package."""

import http.client
import shutil
import subprocess
import tempfile
import threading
import urllib.error
import urllib.request
from concurrent.futures import Future
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from lab.data import files
from lab.data.files import Arrays, DataError

# where Debian's package puts the files
INSTALLED = Path("/usr/share/datasets/fashion-mnist")
PATIENCE = 5.0  # seconds that a server may stay silent


def from_download() -> Arrays:
    """Fetches the four files from the data set's home; gives up on a silent server."""
    console = Console(stderr=True)
    arrays = {}
    with Progress(
        console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        for name in files.FILES:
            url = f"{files.URL}{name}.gz"
            try:
                with _answer(url) as answer:
                    size = answer.headers.get("Content-Length")
                    task = bar.add_task(f"{name}.gz", total=int(size) if size else None)
                    packed = bytearray()
                    while chunk := answer.read1(1 << 16):
                        packed += chunk
                        bar.update(task, completed=len(packed))
            except (OSError, http.client.HTTPException) as error:
                raise DataError(f"{url}: {str(error).strip('<>')}") from error
            arrays[name] = files.unpacked(name, bytes(packed), url)
    return arrays


def from_debian() -> Arrays:
    """Fetches Debian's package with apt-get, which needs no root, and unpacks it."""
    package = files.PACKAGE
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise DataError(f"{package}: there is no apt-get here to fetch it.")
    # the last option keeps a dead mirror from being asked again and again
    options = [
        f"-oAcquire::http::Timeout={PATIENCE:.0f}",
        f"-oAcquire::https::Timeout={PATIENCE:.0f}",
        "-oAcquire::Retries=0",
    ]
    console = Console(stderr=True)
    with tempfile.TemporaryDirectory() as scratch:
        try:
            with console.status(f"apt-get download {package} (31 MB)"):
                _run(["apt-get", *options, "download", package], scratch)
                [archive] = Path(scratch).glob("*.deb")
                _run(["dpkg-deb", "-x", archive.name, "."], scratch)
        except subprocess.CalledProcessError as error:
            raise DataError(
                f"{package}: {error.cmd[0]} said: {' '.join(error.stderr.split())}"
            ) from error
        except (OSError, ValueError, subprocess.TimeoutExpired) as error:
            raise DataError(f"{package}: {error}") from error
        return files.from_folder(Path(scratch) / INSTALLED.relative_to("/"))


def _answer(url: str) -> http.client.HTTPResponse:
    """Opens url, or raises OSError: the time limit holds for the name look-up too."""
    future: Future[http.client.HTTPResponse] = Future()

    def ask() -> None:
        try:
            future.set_result(urllib.request.urlopen(url, timeout=PATIENCE))
        except Exception as error:
            if isinstance(error, urllib.error.HTTPError):
                error.close()  # it holds the connection
            future.set_exception(error)

    # a thread that does not keep the program alive: a name look-up cannot be stopped
    threading.Thread(target=ask, daemon=True).start()
    try:
        return future.result(PATIENCE)
    except TimeoutError as error:
        raise OSError(f"no answer in {PATIENCE:.0f} seconds") from error


def _run(command: list[str], folder: str) -> None:
    subprocess.run(
        command, cwd=folder, check=True, capture_output=True, text=True, timeout=120
    )

"""Fashion-MNIST in memory, from the first place that has it."""

import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from concurrent.futures import Future
from http.client import HTTPException, HTTPResponse
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import Progress

from lab.data import files, prepared
from lab.data.files import Arrays, DataError, FashionMNIST, Images

URL = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
PACKAGE = "dataset-fashion-mnist"
INSTALLED = Path("/usr/share/datasets/fashion-mnist")  # where the package puts them
PATIENCE = 5.0  # seconds that a server may stay silent
LONGEST = 170.0  # seconds that the download may take, and apt-get
FAULTS = (OSError, HTTPException, subprocess.TimeoutExpired, DataError)


def load(data_dir: Path | None = None, *, cache: Path | None = None) -> FashionMNIST:
    """Fashion-MNIST, checked bit for bit, from the first source that has it.

    Without data_dir the sources are, in this order: the copy in the cache; the files
    that Debian's package installs; the official download; Debian's package, fetched
    without root. Where files were read, a copy is prepared for the next start.

    Args:
        data_dir: The only place to look in, for a prepared copy or for the four IDX
            files (.gz or unpacked). It gets the copy too if it can be written.
        cache: Where else copies are; TFDS_DATA_DIR or ~/tensorflow_datasets if None.

    Raises:
        DataError: No source has intact files, or the copy cannot be written.
    """
    usual = os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
    cache = cache or Path(usual).expanduser()
    home, folder = data_dir or cache, data_dir or INSTALLED
    copy = home / prepared.NAME / prepared.VERSION
    copy_exists = os.access(copy, os.F_OK)
    sources: dict[str, Callable[[], Arrays]] = {
        f"prepared copy in {copy}": lambda: prepared.read(copy),
        f"IDX files in {folder}": lambda: files.from_folder(folder),
    }
    if data_dir is None:
        sources[f"download from {URL}"] = from_download
        sources[f"Debian's package {PACKAGE}"] = from_debian

    troubles: list[str] = []
    for source, arrays_there in sources.items():
        try:
            arrays = arrays_there()
        except FAULTS as error:
            troubles.append(f"{source}: {error}")
            continue
        if troubles:  # it is not the copy, so make one for the next start
            if copy_exists:
                shutil.rmtree(copy, ignore_errors=True)
                source += ", in place of a damaged copy"
            if not os.access(home, os.W_OK):
                copy = cache / prepared.NAME / prepared.VERSION
            arrays = prepared.prepare(copy, arrays)
            source += f"; prepared in {copy}"
        train, test = (
            Images(arrays[name["image"]], arrays[name["label"]].astype(np.int32))
            for name in prepared.SPLITS.values()
        )
        return FashionMNIST(train, test, source)
    raise DataError(
        "load needs Fashion-MNIST's four files, got none that are whole from\n- "
        + "\n- ".join(troubles)
        + "\nAny one of these helps:\n"
        f"- apt-get install {PACKAGE}, and no --data-dir\n"
        f"- --data-dir FOLDER with {', '.join(f'{name}.gz' for name in files.FILES)} "
        f"in it, from {URL} by way of any machine\n"
        f"- {copy} from a machine where this has worked"
    )


def from_download() -> Arrays:
    """Fetches the four files from the data set's home; gives up on a slow server."""
    started = time.monotonic()
    print(f"Downloading Fashion-MNIST (31 MB) from {URL}", file=sys.stderr)
    console = Console(stderr=True)
    bar = Progress(console=console, transient=True, disable=not console.is_terminal)
    with tempfile.TemporaryDirectory() as scratch, bar:
        for name in files.FILES:
            task = bar.add_task(name, total=None)
            with (
                _answer(f"{URL}{name}.gz") as answer,
                Path(scratch, name).open("wb") as f,
            ):
                bar.update(task, total=answer.length)
                while part := answer.read1(2**16):  # what is there: it may trickle
                    f.write(part)
                    bar.advance(task, len(part))
                    if time.monotonic() - started > LONGEST:
                        raise OSError(f"not done in {LONGEST:.0f} seconds")
        return files.from_folder(Path(scratch))


def from_debian() -> Arrays:
    """Fetches Debian's package with apt-get, which needs no root, and unpacks it."""
    print(f"Fetching Debian's package {PACKAGE} (31 MB)", file=sys.stderr)
    limits = [f"-oAcquire::{way}::Timeout={PATIENCE:.0f}" for way in ("http", "https")]
    with tempfile.TemporaryDirectory() as scratch:
        # a dead mirror is not asked again and again
        _run(["apt-get", *limits, "-oAcquire::Retries=0", "download", PACKAGE], scratch)
        archives = [path.name for path in Path(scratch).glob("*.deb")]
        _run(["dpkg-deb", "-x", *archives, "."], scratch)
        return files.from_folder(Path(scratch) / INSTALLED.relative_to("/"))


def _run(command: list[str], folder: str) -> None:
    """Runs a command in a folder; DataError with what it said if it fails."""
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=LONGEST
    )
    if done.returncode:
        raise DataError(f"{command[0]} said: {' '.join(done.stderr.split())}")


def _answer(url: str) -> HTTPResponse:
    """Opens url, or raises OSError: the time limit holds for the name look-up too."""
    future: Future[HTTPResponse] = Future()

    def ask() -> None:
        try:
            future.set_result(urllib.request.urlopen(url, timeout=PATIENCE))
        except Exception as error:
            if isinstance(error, urllib.error.HTTPError):
                error.close()  # it holds the connection
            future.set_exception(error)

    # neither a time limit nor Ctrl-C ends a name look-up: it has a thread of its own,
    # which does not keep the program alive
    threading.Thread(target=ask, daemon=True).start()
    try:
        return future.result(PATIENCE)
    except TimeoutError as error:
        raise OSError(f"no answer in {PATIENCE:.0f} seconds") from error

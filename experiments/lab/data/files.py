"""What the four official files of Fashion-MNIST must hold, and what they become.

Every way to get them returns the same thing, one uint8 array for each of FILES, or
raises a DataError that says which file, what is wrong with it, and what to do.
"""

import gzip
import hashlib
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lab import LabError

Arrays = dict[str, NDArray[np.uint8]]


class Images(NamedTuple):
    """Images, uint8 of shape (n, 28, 28), and their labels, int32 of shape (n,)."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int32]


class FashionMNIST(NamedTuple):
    """The two parts, and where they came from."""

    train: Images
    test: Images
    source: str


class DataError(LabError):
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
SPLITS = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}


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
    return {name: _read(name, path) for name, path in paths.items() if path}


def unpacked(name: str, data: bytes, origin: str) -> NDArray[np.uint8]:
    """The array of a file's bytes; a DataError says exactly what is wrong with it."""
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


def digest(array: NDArray[np.uint8]) -> str:
    """The SHA-256 of an array in the form of an unpacked IDX file."""
    sha256 = hashlib.sha256(_header(array.shape))
    sha256.update(np.ascontiguousarray(array).data)
    return sha256.hexdigest()


def as_images(arrays: Arrays, source: str) -> FashionMNIST:
    """The four files' arrays as two parts, with labels as XLA likes them."""
    train, test = (
        Images(arrays[images], arrays[labels].astype(np.int32))
        for images, labels in SPLITS.values()
    )
    return FashionMNIST(train, test, source)


def _read(name: str, path: Path) -> NDArray[np.uint8]:
    """The array of one file."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(
            f"load needs to read {path}, got {error.strerror}, check that it is a "
            "file and that you have the permission."
        ) from error
    return unpacked(name, data, str(path))


def _header(shape: tuple[int, ...]) -> bytes:
    # two zeros, 8 for unsigned bytes, the number of axes, then each length
    return bytes([0, 0, 8, len(shape)]) + np.array(shape, ">u4").tobytes()


def _cure() -> str:
    return f"fetch it again from {URL} or from Debian's package {PACKAGE}."

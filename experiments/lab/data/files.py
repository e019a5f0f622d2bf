"""The four official files of Fashion-MNIST, and the one check of all that is read."""

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


# the SHA-256 of what follows the header: zcat FILE | tail -c +17 (+9: labels)
FILES = {
    "train-images-idx3-ubyte": (
        "2e487a6c89124f78f2d7521542223cafe96f7123c3ca13d447772ac6ecbb3012"
    ),
    "train-labels-idx1-ubyte": (
        "657fbd221bfc9f4198cc14b5619cc33ec57c58dd0e47af4d99d6650759e869a7"
    ),
    "t10k-images-idx3-ubyte": (
        "c867c93ff95360594e8ec3287995350b824dd110b11595c0e13d5423f621867a"
    ),
    "t10k-labels-idx1-ubyte": (
        "3d0e6c6ea990b53b6f8f500a41cac93881d981b315f84578b7d915342ade01e9"
    ),
}


def from_folder(folder: Path) -> Arrays:
    """The arrays of the four files, .gz or unpacked; OSError, DataError if bad."""
    arrays = {}
    for name in FILES:
        packed = folder / f"{name}.gz"
        path = packed if packed.exists() else folder / name
        data = path.read_bytes()
        try:
            raw = gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data
        except (EOFError, OSError, zlib.error) as error:
            raise DataError(f"{path.name} is damaged ({error})") from error
        header = 16 if "images" in name else 8
        arrays[name] = checked(name, np.frombuffer(raw, np.uint8)[header:])
    return arrays


def checked(name: str, values: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A file's values in their shape; DataError unless they are the official ones."""
    sha256 = hashlib.sha256(values).hexdigest()
    if sha256 != FILES[name]:
        raise DataError(f"{name} is damaged or another file (SHA-256 {sha256[:12]}...)")
    return values.reshape(-1, 28, 28) if "images" in name else values

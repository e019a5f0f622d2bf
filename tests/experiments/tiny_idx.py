"""Tiny valid IDX files, and a way to run a program on them.

    python tests/experiments/tiny_idx.py FOLDER PROGRAM --data-dir FOLDER ...

runs the program as the command line would, with the files of FOLDER for official ones.
"""

import contextlib
import gzip
import hashlib
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2] / "experiments"))

from lab.data import FashionMNIST, files


def write(
    folder: Path, train: int = 64, test: int = 32, seed: int = 0
) -> dict[str, str]:
    """Writes the four .gz files; returns what files.FILES must be for them.

    Each of the ten classes has its own picture, which shows through noise, so that a
    model can learn them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    pictures = rng.integers(0, 200, (10, 28, 28))
    for prefix, rows in (("train", train), ("t10k", test)):
        labels = rng.integers(0, 10, rows)
        images = pictures[labels] + rng.integers(0, 56, (rows, 28, 28))
        _write_file(folder / f"{prefix}-images-idx3-ubyte.gz", images)
        _write_file(folder / f"{prefix}-labels-idx1-ubyte.gz", labels)
    return files_in(folder)


@contextlib.contextmanager
def official(folder: Path, **rows: int) -> Iterator[Path]:
    """Writes the four files, which count as the official ones inside the context."""
    kept, files.FILES = files.FILES, write(folder, **rows)
    try:
        yield folder
    finally:
        files.FILES = kept


def files_in(folder: Path) -> dict[str, str]:
    """Returns what files.FILES must be for the .gz files of a folder."""
    return {
        name: hashlib.sha256(values(folder / f"{name}.gz")).hexdigest()
        for name in files.FILES
    }


def values(path: Path) -> np.ndarray:
    """Returns the array in a .gz file, whose header says how many axes it has."""
    raw = gzip.decompress(path.read_bytes())
    shape = np.frombuffer(raw, ">u4", count=raw[3], offset=4)
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * len(shape)).reshape(shape)


def assert_holds(data: FashionMNIST | files.Arrays, folder: Path) -> None:
    """What was read has the values of the .gz files in a folder."""
    arrays = data.values() if isinstance(data, dict) else [*data.train, *data.test]
    for array, name in zip(arrays, files.FILES, strict=True):
        np.testing.assert_array_equal(array, values(folder / f"{name}.gz"))


def _write_file(path: Path, array: np.ndarray) -> None:
    header = np.array([0x0800 + array.ndim, *array.shape], ">u4").tobytes()
    path.write_bytes(gzip.compress(header + array.astype(np.uint8).tobytes()))


if __name__ == "__main__":
    _, folder, program, *arguments = sys.argv
    files.FILES = files_in(Path(folder))
    sys.argv = [program, *arguments]
    runpy.run_path(program, run_name="__main__")

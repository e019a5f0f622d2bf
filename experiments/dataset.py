"""Fashion-MNIST in memory, through TensorFlow Datasets and without TensorFlow.

    data = dataset.load()                    # wherever the images are to be found
    data = dataset.load(Path("my/folder"))   # there and nowhere else
    data = dataset.load(shard=(0, 4))        # what process 0 of 4 reads

The first start checks the four official files, bit for bit, and writes them as a TFDS
data set, which takes a second; later starts read and check that copy in a quarter.
"""

import io
import os
import shutil
import tempfile
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import NamedTuple

import idx_files
import numpy as np
import tensorflow_datasets as tfds
from idx_files import Arrays, DataError

SPLITS = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
BLOCK = 1000  # images a record: read one by one, all 70,000 would take two seconds


class FashionMNIST(NamedTuple):
    """Images uint8 (n, 28, 28), labels int32 (n,), and where they came from."""

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    source: str


def load(
    data_dir: Path | None = None, *, shard: tuple[int, int] = (0, 1)
) -> FashionMNIST:
    """Returns Fashion-MNIST; process 0 prints one line that says where it came from.

    Without data_dir the sources are, in this order: the copy that an earlier start
    prepared in TFDS_DATA_DIR (or else ~/tensorflow_datasets); the files that Debian's
    package installs; the official download; Debian's package, fetched without root.

    Args:
      data_dir: the only place to look in, for a prepared copy or for the four IDX files
        (.gz or unpacked). The copy is prepared there too if the folder can be written.
      shard: (i, n) reads the i-th of n contiguous parts of each split.

    Raises:
      DataError: no source has intact files, or the copy cannot be written.
      ValueError: shard names no part.
    """
    part, parts = shard
    fewest = min(file.shape[0] for file in idx_files.FILES.values())
    if not 0 <= part < parts <= fewest:
        raise ValueError(
            f"load needs shard=(i, n) with 0 <= i < n <= {fewest}, got shard={shard}."
        )
    usual = Path(os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets")
    usual = usual.expanduser()
    home = usual if data_dir is None else Path(data_dir)

    # First the prepared copy.
    copy = _copy_in(home)
    troubles = []
    try:
        arrays = _read(copy, shard)
        return _found(arrays, f"prepared copy in {copy}", speak=part == 0)
    except OSError:
        pass  # There is none yet.
    except DataError as error:
        troubles.append(str(error))
    damaged = bool(troubles)

    # Then whoever has the four files; from them the copy for the next start.
    for source, fetch in _sources(data_dir).items():
        try:
            files = fetch()
        except DataError as error:
            troubles.append(str(error))
            continue
        if damaged:
            shutil.rmtree(copy, ignore_errors=True)
            source += ", in place of a damaged copy"
        target = _copy_in(home if os.access(home, os.W_OK) else usual)
        arrays = _prepare(target, files, shard)
        return _found(arrays, f"{source}; prepared in {target}", speak=part == 0)

    if data_dir is not None:
        raise DataError("\n".join(troubles))
    raise DataError(
        "load found Fashion-MNIST nowhere:\n- "
        + "\n- ".join([f"{copy}: no intact prepared copy", *troubles])
        + "\nAny one of these helps:\n"
        f"- apt-get install {idx_files.PACKAGE}\n"
        f"- download {', '.join(f'{name}.gz' for name in idx_files.FILES)} from "
        f"{idx_files.URL} on any machine, and name their folder with --data-dir\n"
        f"- bring {copy} from a machine where this has worked\n"
        "- connect this machine to the network and run again"
    )


def _sources(data_dir: Path | None) -> dict[str, Callable[[], Arrays]]:
    """Ways to get the four files, in the order in which they are tried."""
    folder = idx_files.INSTALLED if data_dir is None else Path(data_dir)
    sources = {f"IDX files in {folder}": lambda: idx_files.from_folder(folder)}
    if data_dir is None:
        sources[f"download from {idx_files.URL}"] = idx_files.from_download
        sources[f"Debian's package {idx_files.PACKAGE}"] = idx_files.from_debian
    return sources


def _found(arrays: Arrays, source: str, *, speak: bool) -> FashionMNIST:
    if speak:
        print(f"Data: {source}", flush=True)
    images_and_labels = (
        array
        for images, labels in SPLITS.values()
        for array in (arrays[images], arrays[labels].astype(np.int32))
    )
    return FashionMNIST(*images_and_labels, source)


class FashionMnistBlocks(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """The four arrays as TFDS records of BLOCK images, in the official order."""

    VERSION = tfds.core.Version("1.0.0")

    def __init__(self, root: Path, arrays: Arrays | None = None):
        self.arrays = arrays
        super().__init__(data_dir=root, file_format="array_record")

    def _info(self):
        def raw(
            *shape,
        ):  # plain bytes: PNG or protobuf's integers take ten times longer
            return tfds.features.Tensor(shape=shape, dtype=np.uint8, encoding="bytes")

        return tfds.core.DatasetInfo(
            builder=self,
            description=f"Fashion-MNIST in blocks of {BLOCK} images.",
            homepage="https://github.com/zalandoresearch/fashion-mnist",
            features=tfds.features.FeaturesDict(
                {"image": raw(None, 28, 28), "label": raw(None)}
            ),
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager):
        return {
            split: self._generate_examples(*(self.arrays[name] for name in names))
            for split, names in SPLITS.items()
        }

    def _generate_examples(self, images, labels):
        for start in range(0, len(images), BLOCK):
            block = slice(start, start + BLOCK)
            yield start, {"image": images[block], "label": labels[block]}


def _copy_in(root: Path) -> Path:
    return root / FashionMnistBlocks.name / str(FashionMnistBlocks.VERSION)


def _read(copy: Path, shard: tuple[int, int]) -> Arrays:
    """Reads one part of a copy: OSError if there is none, DataError if damaged."""
    copy.stat()
    part, parts = shard
    arrays = {}
    try:
        builder = FashionMnistBlocks(copy.parent.parent)
        for split, names in SPLITS.items():
            rows = idx_files.FILES[names[0]].shape[0]
            start, stop = part * rows // parts, (part + 1) * rows // parts
            first, last = start // BLOCK, (stop - 1) // BLOCK
            blocks = builder.as_data_source(split).__getitems__(range(first, last + 1))
            cut = slice(start - first * BLOCK, stop - first * BLOCK)
            for name, feature in zip(names, ("image", "label"), strict=True):
                wanted = idx_files.FILES[name]
                array = np.concatenate([block[feature] for block in blocks])[cut]
                if array.shape != (stop - start, *wanted.shape[1:]):
                    raise ValueError(f"{name} has the shape {array.shape}")
                # The whole is checked here, a part by ArrayRecord's own checksums.
                if parts == 1 and idx_files.digest(array) != wanted.sha256:
                    raise ValueError(f"{name} has the wrong SHA-256")
                arrays[name] = array
    except Exception as error:  # TFDS does not say which errors damaged files give.
        raise DataError(
            f"load needs an intact prepared copy, got {copy}, which is damaged "
            f"({_one_line(error)}), delete that folder and run again."
        ) from error
    return arrays


def _prepare(copy: Path, files: Arrays, shard: tuple[int, int]) -> Arrays:
    """Writes the copy whole or not at all, and reads one part of it."""
    tfds.disable_progress_bar()
    try:
        copy.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=copy.parent, prefix="incomplete.") as root:
            with redirect_stdout(io.StringIO()):  # TFDS speaks of a download.
                FashionMnistBlocks(Path(root), files).download_and_prepare()
            arrays = _read(_copy_in(Path(root)), shard)
            try:
                _copy_in(Path(root)).rename(copy)
            except OSError:
                if not copy.is_dir():  # Another process was faster: just as good.
                    raise
        return arrays
    except (OSError, RuntimeError) as error:
        raise DataError(
            f"load needs permission and 100 MB to write {copy}, got "
            f"{_one_line(error)}; set TFDS_DATA_DIR to a folder that has both."
        ) from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__

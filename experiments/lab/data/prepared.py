"""The prepared copy: the four arrays as a TFDS data set, without TensorFlow.

Writing it takes a second, reading and checking it a quarter.
"""

import io
import tempfile
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from numpy.typing import NDArray

from lab.data import files
from lab.data.files import Arrays, DataError

BLOCK = 1000  # images a record: read one by one, all 70,000 would take two seconds


class OwnInfo(tfds.core.DatasetInfo):
    """What is known of the data set, which nobody else has to be asked for."""

    def initialize_from_bucket(self) -> None:
        """Does nothing: TFDS asks the network, and leaves an empty folder behind."""


class FashionMnistBlocks(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """The four arrays as TFDS records of BLOCK images, in the official order."""

    VERSION = tfds.core.Version("1.0.0")
    # nothing is downloaded; to look for a list of checksums TFDS would need a package
    # that it does not install
    url_infos = None

    def __init__(self, root: Path, arrays: Arrays | None = None):
        self.arrays = arrays or {}
        super().__init__(data_dir=root, file_format="array_record")

    def _info(self) -> OwnInfo:
        return OwnInfo(
            builder=self,
            description=f"Fashion-MNIST in blocks of {BLOCK} images.",
            homepage="https://github.com/zalandoresearch/fashion-mnist",
            features=tfds.features.FeaturesDict(
                {"image": _raw(None, 28, 28), "label": _raw(None)}
            ),
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        return {
            split: self._generate_examples(*(self.arrays[name] for name in names))
            for split, names in files.SPLITS.items()
        }

    def _generate_examples(
        self, images: NDArray[np.uint8], labels: NDArray[np.uint8]
    ) -> Iterator[tuple[int, dict[str, NDArray[np.uint8]]]]:
        for start in range(0, len(images), BLOCK):
            block = slice(start, start + BLOCK)
            yield start, {"image": images[block], "label": labels[block]}


def copy_in(root: Path) -> Path:
    """Where in a TFDS folder the copy is."""
    return root / str(FashionMnistBlocks.name) / str(FashionMnistBlocks.VERSION)


def read(copy: Path) -> Arrays:
    """The four arrays; OSError if there is no copy, DataError if it is damaged."""
    copy.stat()
    arrays = {}
    try:
        builder = FashionMnistBlocks(copy.parent.parent)
        for split, names in files.SPLITS.items():
            source = builder.as_data_source(split)
            blocks = source.__getitems__(range(len(source)))
            for name, feature in zip(names, ("image", "label"), strict=True):
                array = np.concatenate([block[feature] for block in blocks])
                if files.digest(array) != files.FILES[name].sha256:
                    raise ValueError(f"{name} has the wrong SHA-256")
                arrays[name] = array
    except Exception as error:  # TFDS does not say which errors damaged files give
        raise DataError(
            f"load needs an intact prepared copy, got {copy}, which is damaged "
            f"({_one_line(error)}), delete that folder and run again."
        ) from error
    return arrays


def prepare(copy: Path, arrays: Arrays) -> Arrays:
    """Writes the copy whole or not at all; returns what was read back from it."""
    tfds.disable_progress_bar()
    try:
        copy.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=copy.parent, prefix="incomplete.") as root:
            with redirect_stdout(io.StringIO()):  # TFDS speaks of a download
                FashionMnistBlocks(Path(root), arrays).download_and_prepare()
            written = read(copy_in(Path(root)))
            try:
                copy_in(Path(root)).rename(copy)
            except OSError:
                if not copy.is_dir():  # another process was faster: just as good
                    raise
        return written
    except (OSError, RuntimeError) as error:
        raise DataError(
            f"load needs permission and 100 MB to write {copy}, got "
            f"{_one_line(error)}; set TFDS_DATA_DIR to a folder that has both."
        ) from error


def _raw(*shape: int | None) -> tfds.features.Tensor:
    # plain bytes: PNG or protobuf's integers take ten times longer
    return tfds.features.Tensor(shape=shape, dtype=np.uint8, encoding="bytes")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__

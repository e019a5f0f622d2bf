"""The prepared copy: the four arrays as a TFDS data set, without TensorFlow.

Writing it takes a second, reading and checking it a quarter.
"""

import os
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from lab.data import files
from lab.data.files import Arrays, DataError

NAME, VERSION = "fashion_mnist_blocks", "1.0.0"
BLOCK = 1000  # images a record: read one by one, all 70,000 would take two seconds
SPLITS = {
    "train": {"image": "train-images-idx3-ubyte", "label": "train-labels-idx1-ubyte"},
    "test": {"image": "t10k-images-idx3-ubyte", "label": "t10k-labels-idx1-ubyte"},
}


def read(copy: Path) -> Arrays:
    """The four arrays; DataError if there is no copy or a damaged one."""
    if not os.access(copy, os.F_OK):
        raise DataError("there is none")
    arrays = {}
    try:
        builder = tfds.builder_from_directory(copy)
        for split, names in SPLITS.items():
            source = builder.as_data_source(split)
            blocks = source.__getitems__(range(len(source)))
            for feature, name in names.items():
                values = np.concatenate([block[feature] for block in blocks])
                arrays[name] = files.checked(name, values)
    except Exception as error:  # TFDS does not say which errors damaged files give
        said = " ".join(str(error).split())[:300] or type(error).__name__
        raise DataError(f"damaged ({said}), delete {copy}") from error
    return arrays


def prepare(copy: Path, arrays: Arrays) -> Arrays:
    """Writes the copy whole or not at all; returns what is read back from it."""
    try:
        with tfds.core.utils.incomplete_dir(copy) as folder:
            _write(folder, arrays)
    except (OSError, RuntimeError) as error:
        if not copy.is_dir():  # or else another process was faster: just as good
            raise DataError(
                f"load needs permission and 100 MB to write {copy}, got {error}; "
                "set TFDS_DATA_DIR to a folder that has both."
            ) from error
    return read(copy)


def _write(folder: str, arrays: Arrays) -> None:
    """Writes the arrays as records of BLOCK images, in the official order."""
    info = tfds.core.DatasetInfo(
        builder=tfds.core.DatasetIdentity(
            NAME, tfds.core.Version(VERSION), folder, module_name=__name__
        ),
        features=tfds.features.FeaturesDict(
            {"image": _raw(None, 28, 28), "label": _raw(None)}
        ),
        disable_shuffling=True,
    )
    writer = tfds.core.SequentialWriter(info, 1000, file_format="array_record")
    writer.initialize_splits(list(SPLITS))
    for split, names in SPLITS.items():
        for start in range(0, len(arrays[names["label"]]), BLOCK):
            rows = slice(start, start + BLOCK)
            example = {feature: arrays[name][rows] for feature, name in names.items()}
            writer.add_examples({split: [example]})
    writer.close_all()


def _raw(*shape: int | None) -> Any:
    # plain bytes: PNG or protobuf's integers take ten times longer
    return tfds.features.Tensor(shape=shape, dtype=np.uint8, encoding="bytes")

"""Data sets that need no files."""

import numpy as np

from lab.data import FashionMNIST, Images


def numbered(train: int, test: int) -> FashionMNIST:
    """Images that say which they are, in two pixels and the label."""
    images = np.zeros((train + test, 28, 28), np.uint8)
    images[:, 0, 0], images[:, 0, 1] = np.divmod(np.arange(train + test), 256)
    labels = np.arange(train + test, dtype=np.int32)
    return FashionMNIST(
        Images(images[:train], labels[:train]),
        Images(images[train:], labels[train:]),
        "",
    )


def random_images(train: int, test: int) -> FashionMNIST:
    """Noise with labels of ten classes."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (train + test, 28, 28), dtype=np.uint8)
    labels = rng.integers(0, 10, train + test)
    return FashionMNIST(
        Images(images[:train], labels[:train]),
        Images(images[train:], labels[train:]),
        "",
    )

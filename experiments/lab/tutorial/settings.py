"""The tutorial's hyperparameters, its two arms, and the figures that it published."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import optax

from clr_optax import clr_schedule
from lab.history import METRICS
from lab.training import Arm


@dataclass(frozen=True)
class Settings:
    """What a run's figures depend on; the defaults are the tutorial's."""

    epochs: int = 10
    batch_size: int = 64
    seeds: int = 1
    train_images: int = 60_000

    @property
    def steps_per_epoch(self) -> int:
        """As the tutorial counts: without the last, smaller batch, which trains too."""
        return max(1, self.train_images // self.batch_size)

    @property
    def updates_per_epoch(self) -> int:
        """With the last, smaller batch."""
        return -(-self.train_images // self.batch_size)

    @property
    def arms(self) -> dict[str, Arm]:
        """The arms, and all that differs between them."""
        fixed = optax.constant_schedule(0.01)
        cycles = clr_schedule(1e-4, 1e-2, 2 * self.steps_per_epoch, mode="triangular2")
        return {
            "SGD": Arm("optax.sgd(0.01)", "baseline", fixed, optax.sgd(fixed)),
            "CLR": Arm(f"optax.sgd({cycles})", "cyclical", cycles, optax.sgd(cycles)),
        }

    def rate_sums(self, steps: int) -> dict[str, float]:
        """The sum of each arm's rates in so many steps: how far it can get."""
        every = np.arange(steps)
        return {
            name: float(np.sum(np.broadcast_to(arm.rate(every), steps), dtype=float))
            for name, arm in self.arms.items()
        }

    @property
    def trajectory(self) -> dict[str, Any]:
        """All that decides the figures of an epoch: not how many epochs there are."""
        return {
            "batch_size": self.batch_size,
            "seeds": self.seeds,
            "train_images": self.train_images,
            "arms": {name: arm.about for name, arm in self.arms.items()},
        }


# what the tutorial printed after each epoch, in the order of METRICS
_PRINTED = {
    "SGD": [
        (2.2091, 0.2183, 1.7595, 0.4123),
        (1.2961, 0.5130, 0.9587, 0.6489),
        (1.0104, 0.6182, 0.9155, 0.6576),
        (0.9276, 0.6570, 0.8495, 0.7016),
        (0.8856, 0.6719, 0.8399, 0.6664),
        (0.8482, 0.6850, 0.7982, 0.6818),
        (0.8219, 0.6941, 0.7609, 0.7008),
        (0.7996, 0.7011, 0.7267, 0.7271),
        (0.7833, 0.7064, 0.7157, 0.7450),
        (0.7640, 0.7135, 0.7017, 0.7465),
    ],
    "CLR": [
        (2.3005, 0.1165, 2.2852, 0.2377),
        (2.1931, 0.2398, 1.7386, 0.4523),
        (1.3131, 0.5053, 1.0110, 0.6492),
        (1.0746, 0.5934, 0.9492, 0.6621),
        (1.0528, 0.6029, 0.9439, 0.6518),
        (1.0197, 0.6170, 0.9096, 0.6622),
        (0.9778, 0.6337, 0.8784, 0.6748),
        (0.9534, 0.6486, 0.8665, 0.6901),
        (0.9510, 0.6497, 0.8690, 0.6856),
        (0.9424, 0.6529, 0.8570, 0.6918),
    ],
}
PUBLISHED = {
    arm: dict(zip(METRICS, map(list, zip(*rows, strict=True)), strict=True))
    for arm, rows in _PRINTED.items()
}

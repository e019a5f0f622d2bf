"""An arm of a comparison, and what arms are for."""

from dataclasses import dataclass
from typing import Literal

import optax

Role = Literal["fixed", "baseline", "peer", "cyclical"]
DASHES = {"cyclical": "-", "peer": "--", "baseline": "--", "fixed": ":"}


@dataclass(frozen=True)
class Arm:
    """A way to train with SGD: its rate and momentum by step, and what it is for.

    `about` are the words for it in the results. The baseline is what the others are
    measured by.
    """

    about: str
    role: Role
    rate: optax.Schedule
    momentum: optax.Schedule | None = None

    @property
    def optimizer(self) -> optax.GradientTransformation:
        """Of one form for all arms with a momentum: a program needs states alike."""
        if self.momentum is None:
            return optax.sgd(self.rate)
        inject = optax.inject_hyperparams(optax.sgd)
        return inject(learning_rate=self.rate, momentum=self.momentum)

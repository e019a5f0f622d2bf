"""The figures of a run, epoch by epoch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

METRICS = ("loss", "accuracy", "val_loss", "val_accuracy")


@dataclass(frozen=True, eq=False)
class History:
    """Every arm's figures on every seed after every epoch.

    `figures` has the shape (arms, seeds, epochs, metrics).
    """

    arms: tuple[str, ...]
    figures: NDArray[np.floating[Any]]

    @classmethod
    def from_json(cls, by_arm: Mapping[str, Any]) -> "History":
        """What `to_json` made; null, which stands for what is not finite, is NaN."""
        figures = [
            [np.array(by_metric[metric], float) for metric in METRICS]
            for by_metric in by_arm.values()
        ]
        return cls(tuple(by_arm), np.stack(figures).transpose(0, 2, 3, 1))

    @property
    def seeds(self) -> int:
        """How many seeds each arm has."""
        return len(self.figures[0])

    @property
    def epochs(self) -> int:
        """How many epochs are done."""
        return len(self.figures[0, 0])

    def of(self, arm: str, metric: str) -> NDArray[np.floating[Any]]:
        """One metric of one arm, of shape (seeds, epochs)."""
        return self.figures[self.arms.index(arm), ..., METRICS.index(metric)]

    def last(self, arm: str, metric: str) -> NDArray[np.floating[Any]]:
        """One metric of one arm after the last epoch, of shape (seeds,)."""
        return self.of(arm, metric)[:, -1]

    def scores(self) -> dict[str, float]:
        """The seeds' mean val_accuracy at the end; 0 for an arm that diverged."""
        lost = self.diverged()
        return {
            arm: 0.0 if arm in lost else float(self.last(arm, "val_accuracy").mean())
            for arm in self.arms
        }

    def diverged(self) -> dict[str, list[int]]:
        """The arms of which some figure is no longer a number, and their lost seeds."""
        lost = ~np.isfinite(self.figures).all(axis=(2, 3))
        return {
            arm: np.flatnonzero(seeds).tolist()
            for arm, seeds in zip(self.arms, lost, strict=True)
            if seeds.any()
        }

    def to_json(self) -> dict[str, dict[str, list[list[float]]]]:
        """By arm and metric, each a list of seeds, each a list of epochs."""
        return {
            arm: {metric: self.of(arm, metric).tolist() for metric in METRICS}
            for arm in self.arms
        }

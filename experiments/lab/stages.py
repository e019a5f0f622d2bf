"""Several trainings one after the other, each of which can be gone on with."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from lab.arms import Arm
from lab.checkpoints import Checkpoints
from lab.data import FashionMNIST
from lab.history import History
from lab.training import start, train


class Stages:
    """Trains a dictionary of arms a stage; a checkpoint after each epoch.

    `settings` are what the figures of all stages depend on. `seconds` is what each
    stage has taken so far. Every `keep_every`-th checkpoint stays until the end.
    """

    def __init__(
        self,
        folder: Path,
        settings: dict[str, Any],
        batch_size: int,
        console: Console,
        seconds: Mapping[str, float],
        keep_every: int | None = None,
    ):
        self.folder, self.settings, self.batch_size = folder, settings, batch_size
        self.console, self.seconds = console, dict(seconds)
        self.keep_every = keep_every

    def train(
        self,
        stage: str,
        arms: Mapping[str, Arm],
        data: FashionMNIST,
        *,
        seeds: int,
        epochs: int,
    ) -> History:
        """Returns the arms' figures after so many epochs; prints a line for each."""
        optimizers = {name: arm.optimizer for name, arm in arms.items()}
        checkpoints = self.checkpoints(stage, arms)
        runs = start(optimizers, seeds)
        runs = checkpoints.latest(runs, epochs) or runs
        if runs.history.epochs == epochs:
            return runs.history
        spent = self.seconds.get(stage, 0.0)
        for epoch in train(
            optimizers, data, runs, epochs=epochs, batch_size=self.batch_size
        ):
            runs = epoch.runs
            checkpoints.save(runs)
            spent += epoch.seconds
            self.seconds[stage] = spent + epoch.compile_seconds
            self.console.print(
                f"{stage}: epoch {runs.history.epochs}/{epochs} of "
                f"{len(arms) * seeds} runs, {epoch.seconds:.1f} s, "
                f"best accuracy {_best_accuracy(runs.history):.4f}"
            )
        return runs.history

    def checkpoints(self, stage: str, arms: Mapping[str, Arm]) -> Checkpoints:
        """Returns where a stage goes on."""
        about = {name: arm.about for name, arm in arms.items()}
        folder = self.folder / stage.replace(" ", "-")
        settings = self.settings | about
        return Checkpoints(folder, settings, keep_every=self.keep_every)


def _best_accuracy(history: History) -> float:
    """Of the arms, the mean over the seeds after the last epoch."""
    means = [history.last(arm, "val_accuracy").mean() for arm in history.arms]
    return float(np.nanmax(means))

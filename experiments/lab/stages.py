"""Several trainings one after the other, each of which can be gone on with."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

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
    `planned` are the epochs of all runs of all stages, for the time that is left.
    """

    def __init__(
        self,
        folder: Path,
        settings: dict[str, Any],
        batch_size: int,
        console: Console,
        seconds: Mapping[str, float],
        *,
        keep_every: int,
        planned: int,
    ):
        self.folder, self.settings, self.batch_size = folder, settings, batch_size
        self.console, self.seconds = console, dict(seconds)
        self.keep_every, self.left = keep_every, planned
        self._pace: tuple[int, float] = 0, 0.0  # epochs of runs done here, seconds

    def train(
        self,
        stage: str,
        arms: Mapping[str, Arm],
        data: FashionMNIST,
        *,
        seeds: int,
        epochs: int,
    ) -> History:
        """The arms' figures after so many epochs; prints a line for each."""
        optimizers = {name: arm.optimizer for name, arm in arms.items()}
        checkpoints = self.checkpoints(stage, arms)
        runs = start(optimizers, seeds)
        runs = checkpoints.latest(runs, epochs) or runs
        count = len(arms) * seeds
        self._count_down(count * runs.history.epochs)
        spent = self.seconds.get(stage, 0.0)
        for epoch in train(
            optimizers, data, runs, epochs=epochs, batch_size=self.batch_size
        ):
            runs = epoch.runs
            checkpoints.save(runs)
            spent += epoch.seconds
            self.seconds[stage] = spent + epoch.compile_seconds
            self._count_down(count, epoch.seconds)
            best = max(runs.history.scores().values())
            self.console.print(
                f"{stage}: epoch {runs.history.epochs}/{epochs} of {count} runs, "
                f"{epoch.seconds:.1f} s, best accuracy {best:.4f}; "
                f"about {self._minutes_left():.0f} min left"
            )
        return runs.history

    def checkpoints(self, stage: str, arms: Mapping[str, Arm]) -> Checkpoints:
        """Where a stage goes on."""
        about = {name: arm.about for name, arm in arms.items()}
        folder = self.folder / stage.replace(" ", "-")
        settings = self.settings | about
        return Checkpoints(folder, settings, keep_every=self.keep_every)

    def _count_down(self, epochs: int, seconds: float | None = None) -> None:
        """Takes epochs of runs from what is left; what took no seconds was done."""
        self.left -= epochs
        if seconds is not None:
            done, spent = self._pace
            self._pace = done + epochs, spent + seconds

    def _minutes_left(self) -> float:
        """How long what is left takes at the pace so far."""
        done, spent = self._pace
        return self.left * spent / done / 60

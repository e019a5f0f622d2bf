"""What a run prints: an epoch as it is done, and the table at the end."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import optax
from rich import box, progress
from rich.console import Console
from rich.table import Table
from tensorboardX import SummaryWriter
from training import METRICS, Epoch
from tutorial import PUBLISHED, Settings


class Progress(progress.Progress):
    """A bar over the epochs, on a terminal, and a line for each epoch of an arm."""

    def __init__(self, console: Console, epochs: int, done: int):
        super().__init__(
            progress.TextColumn("epoch {task.completed}/{task.total}"),
            progress.BarColumn(),
            progress.TimeElapsedColumn(),
            progress.TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self.task = self.add_task("training", total=epochs, completed=done)
        self.epochs = epochs
        console.print("Means over seeds; in brackets what the tutorial published.")

    def show(self, epoch: Epoch) -> None:
        """Prints the epoch's figures and moves the bar."""
        width = len(str(self.epochs))
        for arm, by_seed in epoch.metrics.items():
            figures = []
            for name, value in zip(METRICS, by_seed.mean(axis=0), strict=True):
                published = PUBLISHED[arm][name][epoch.number - 1 : epoch.number]
                told = "".join(f" ({number:.4f})" for number in published)
                figures.append(f"{name} {value:.4f}{told}")
            number = f"{epoch.number:{width}}/{self.epochs}"
            self.console.print(f"epoch {number}  {arm}  " + "  ".join(figures))
        self.advance(self.task)


def summary(results: dict[str, Any]) -> Table:
    """The last epoch's figures: the tutorial's, ours, the difference."""
    seeds, epochs = results["settings"]["seeds"], results["settings"]["epochs"]
    done = len(results["history"]["SGD"]["loss"][0])
    table = Table(box=box.MARKDOWN)
    for heading in ("arm", "figure", "published", "ours", "sd", "difference"):
        table.add_column(heading, justify="left" if heading == "arm" else "right")
    for arm, by_metric in results["history"].items():
        for metric, by_seed in by_metric.items():
            values = _last(by_seed)
            told = PUBLISHED[arm][metric][done - 1 : done]
            published = f"{told[0]:.4f}" if told else "-"
            difference = f"{values.mean() - told[0]:+.4f}" if told else "-"
            sd = f"{values.std(ddof=1):.4f}" if seeds > 1 else "-"
            mean = f"{values.mean():.4f}"
            table.add_row(arm, metric, published, mean, sd, difference)
    table.caption = f"after epoch {done} of {epochs}, n={seeds}"
    return table


def paired(results: dict[str, Any]) -> Table:
    """CLR less SGD, seed by seed: mean, spread, and on how many seeds CLR won."""
    table = Table(box=box.MARKDOWN, title="CLR less SGD, paired by seed")
    for heading in ("figure", "mean", "sd", "CLR better on"):
        table.add_column(heading, justify="right")
    for metric in METRICS:
        sgd, clr = (_last(results["history"][arm][metric]) for arm in ("SGD", "CLR"))
        gain = clr - sgd
        better = int((gain < 0 if "loss" in metric else gain > 0).sum())
        mean, sd = f"{gain.mean():+.4f}", f"{gain.std(ddof=1):.4f}"
        table.add_row(metric, mean, sd, f"{better} of {len(gain)} seeds")
    return table


def diverged(results: dict[str, Any]) -> list[str]:
    """A line for each arm of which some seed's loss is no longer a number."""
    lines = []
    for arm, by_metric in results["history"].items():
        lost = [
            k
            for k, v in enumerate(by_metric["loss"])
            if not np.isfinite(_array(v)).all()
        ]
        if lost:
            lines.append(f"{arm} DIVERGED (its loss is not finite) on seeds {lost}")
    return lines


def rate_sums(arms: Mapping[str, optax.Schedule], steps: int) -> dict[str, float]:
    """The sum of the rates of so many steps: how far an arm can get."""
    return {
        arm: float(
            np.sum(np.broadcast_to(schedule(np.arange(steps)), steps), dtype=float)
        )
        for arm, schedule in arms.items()
    }


def write_tensorboard(
    results: dict[str, Any], settings: Settings, folder: Path
) -> None:
    """Each epoch's figures and rate, for TensorBoard, a run for each arm and seed."""
    for arm, by_metric in results["history"].items():
        for seed in range(settings.seeds):
            with SummaryWriter(str(folder / f"{arm}-{seed}")) as writer:
                for epoch in range(len(by_metric["loss"][seed])):
                    step = (epoch + 1) * settings.updates_per_epoch
                    for metric, by_seed in by_metric.items():
                        writer.add_scalar(metric, by_seed[seed][epoch], step)
                    rate = float(settings.arms[arm](step - 1))
                    writer.add_scalar("learning_rate", rate, step)


def _last(by_seed: list[list[float | None]]) -> np.ndarray:
    return _array(by_seed)[:, -1]


def _array(values: Any) -> np.ndarray:
    """JSON's null, where a figure was not finite, as NaN."""
    return np.array(values, dtype=float)

"""The tutorial's pictures, drawn from a results file's content alone."""

from pathlib import Path
from typing import Any, Literal

import numpy as np
import optax
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from clr_core import clr
from lab.history import History
from lab.saved import panels, save_figure


def draw_schedule(
    schedule: optax.Schedule, epochs: int, steps_per_epoch: int
) -> Figure:
    """The rate at every step of `epochs` epochs."""
    steps = np.arange(epochs * steps_per_epoch)
    figure, (axes,) = panels((8, 3.5))
    axes.plot(steps, schedule(steps))
    axes.set(
        title=f"The CLR schedule over {epochs} epochs ({len(steps):,} steps)",
        xlabel="Steps",
        ylabel="Learning rate",
        ylim=(0, None),
    )
    return figure


def draw_modes() -> Figure:
    """The three modes of the papers side by side, over four cycles."""
    steps = np.arange(8 * 500 + 1)
    figure, row = panels((9, 2.6), 3, sharey=True)
    gammas: dict[Literal["triangular", "triangular2", "exp_range"], float]
    gammas = {"triangular": 1.0, "triangular2": 1.0, "exp_range": 0.9995}
    for axes, (mode, gamma) in zip(row, gammas.items(), strict=True):
        axes.plot(steps, clr(steps, 0.001, 0.01, 500, mode=mode, gamma=gamma))
        title = mode + (f", gamma={gamma}" if gamma < 1 else "")
        axes.set(title=title, xlabel="Steps", ylim=(0, None))
    row[0].set_ylabel("Learning rate")
    return figure


def draw_losses(*histories: History) -> Figure:
    """Training and validation loss of each arm, on the same axes and limits."""
    arms = [(arm, history) for history in histories for arm in history.arms]
    figure, row = panels((8, 3.8), len(arms), sharex=True, sharey=True)
    for axes, (arm, history) in zip(row, arms, strict=True):
        _draw_curve(axes, history.of(arm, "loss"), "training loss")
        _draw_curve(axes, history.of(arm, "val_loss"), "validation loss")
        axes.set(title=arm, xlabel="Epochs", ylim=(0, 2.5))
        axes.legend()
    row[0].set_ylabel("Loss")
    return figure


def draw_accuracy(history: History, published: dict[str, Any]) -> Figure:
    """Validation accuracy of each arm beside the published one."""
    figure, (axes,) = panels((8, 3.8))
    for number, arm in enumerate(history.arms):
        color = f"C{number}"
        _draw_curve(axes, history.of(arm, "val_accuracy"), f"{arm}, here", color)
        values = published[arm]["val_accuracy"]
        epochs = np.arange(1, len(values) + 1)
        axes.plot(
            epochs, values, "o", color=color, mfc="none", label=f"{arm}, tutorial"
        )
    axes.set(
        title="Accuracy on the 10,000 test images",
        xlabel="Epochs",
        ylabel="Validation accuracy",
        ylim=(0, 1),
    )
    axes.legend()
    return figure


def draw_all(results: dict[str, Any], schedule: optax.Schedule, out: Path) -> None:
    """Writes modes, schedule_10, schedule_100, losses and accuracy, each a .png."""
    history = History.from_json(results["history"])
    steps = results["settings"]["steps_per_epoch"]
    save_figure(draw_modes(), out / "modes.png")
    for epochs in (10, 100):
        figure = draw_schedule(schedule, epochs, steps)
        save_figure(figure, out / f"schedule_{epochs}.png")
    save_figure(draw_losses(history), out / "losses.png")
    save_figure(draw_accuracy(history, results["published"]), out / "accuracy.png")


def _draw_curve(
    axes: Axes,
    values: NDArray[np.floating[Any]],
    label: str,
    color: str | None = None,
) -> None:
    """The mean over seeds against the epoch, with all seeds' range."""
    epochs = np.arange(1, values.shape[1] + 1)
    if len(values) > 1:
        label += f" (mean and range, n={len(values)})"
    (line,) = axes.plot(
        epochs, values.mean(axis=0), marker=".", label=label, color=color
    )
    low, high = values.min(axis=0), values.max(axis=0)
    axes.fill_between(epochs, low, high, color=line.get_color(), alpha=0.2, linewidth=0)
    axes.locator_params(axis="x", integer=True)

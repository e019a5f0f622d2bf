"""The pictures of comparison.py, from its JSON's content alone."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator

from clr_core import suggest_bounds
from clr_optax import RangeTest
from lab.comparison.schedules import SCHEDULES
from lab.comparison.tables import accuracy
from lab.program import save_figure

DASHES = {"cyclical": "-", "peer": "--", "baseline": "--", "fixed": ":"}


def draw_all(results: dict[str, Any], out: Path) -> None:
    """Writes range_test, accuracy, anytime and landscape, each a .png."""
    for name, draw in {
        "range_test": draw_range_test,
        "accuracy": draw_accuracy,
        "anytime": draw_anytime,
        "landscape": draw_landscape,
    }.items():
        save_figure(draw(results), out / f"{name}.png")


def draw_range_test(results: dict[str, Any]) -> Figure:
    """The range test as the library draws it."""
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    curves(results).plot(figure.subplots())
    return figure


def curves(results: dict[str, Any]) -> RangeTest:
    """The range test of all seeds, from its lists."""
    test = results["range_test"]
    return RangeTest(jnp.array(test["lrs"]), jnp.array(test["losses"], float))


def draw_accuracy(results: dict[str, Any]) -> Figure:
    """A and B: accuracy by all steps, those of tuning included."""
    figure = Figure(figsize=(9, 5), layout="constrained")
    axes = figure.subplots()
    steps_per_epoch = results["settings"]["steps_per_epoch"]
    for number, (name, plan) in enumerate(SCHEDULES.items()):
        untuned = [row for row in results["A"] if row["arm"] == name]
        tuned = [row for row in results["B"] if row["arm"] == name]
        for rows, marker, label in ((untuned, "o", name), (tuned, "*", None)):
            steps = [r["tuning_steps"] + r["epochs"] * steps_per_epoch for r in rows]
            means = [accuracy(row)[:, -1].mean() for row in rows]
            axes.plot(
                steps, means, DASHES[plan.role], marker=marker, color=f"C{number}",
                markersize=9 if marker == "*" else 5, label=label,
            )  # fmt: skip
    axes.plot([], [], "*", color="black", markersize=9, label="tuned (B)")
    axes.set(
        title="Accuracy by training steps, those of tuning included",
        xlabel="Steps (log axis)",
        ylabel="Test accuracy in percent",
        xscale="log",
    )
    axes.grid(alpha=0.3, which="both")
    axes.legend(fontsize=8, loc="lower right")
    return figure


def draw_anytime(results: dict[str, Any]) -> Figure:
    """C: accuracy after every epoch, mean over the seeds."""
    figure = Figure(figsize=(9, 5), layout="constrained")
    axes = figure.subplots()
    for number, row in enumerate(results["C"]):
        figures = accuracy(row)
        epochs = np.arange(1, figures.shape[1] + 1)
        color, n = f"C{number}", len(figures)
        label = f"{row['arm']} ({row['about'].rpartition(',')[0]})"
        mean, sd = figures.mean(axis=0), figures.std(axis=0, ddof=1)
        axes.plot(epochs, mean, DASHES[row["role"]], color=color, label=label)
        axes.fill_between(epochs, mean - sd, mean + sd, color=color, alpha=0.12, lw=0)
    cycle = results["settings"]["cycle_epochs"]
    for end in (cycle, 2 * cycle, 3 * cycle):
        axes.axvline(end, color="gray", lw=0.8, zorder=0)
    axes.set(
        title=f"Who stops early? Mean and sd over n={n} seeds; lines where C is read",
        xlabel="Epochs",
        ylabel="Test accuracy in percent",
    )
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, loc="lower right")
    return figure


def draw_landscape(results: dict[str, Any]) -> Figure:
    """E: a heat map, with what each seed's range test suggests."""
    found = results["E"]
    peaks, ratios = np.array(found["peaks"]), np.array(found["ratios"], float)
    means = 100 * np.array(found["accuracy"], float).mean(axis=-1)
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    image = axes.pcolormesh(
        edges(peaks), edges(ratios), means.T, cmap="viridis",
        vmin=np.nanmax(means) - 15,
    )  # fmt: skip
    figure.colorbar(
        image, ax=axes, label="Validation accuracy in percent", extend="min"
    )
    for i, peak in enumerate(peaks):
        for j, ratio in enumerate(ratios):
            text = f"{means[i, j]:.1f}" if np.isfinite(means[i, j]) else "diverged"
            axes.text(
                peak, ratio, text, ha="center", va="center", color="white", size=8
            )
    test = curves(results)
    base_lr, max_lr = jax.vmap(suggest_bounds)(
        jnp.broadcast_to(test.lrs, test.losses.shape), test.losses
    )
    axes.plot(
        max_lr, max_lr / base_lr, "x", color="tab:red", label="range test, a seed"
    )
    low, high = results["bounds"]
    axes.plot(high, high / low, "*", ms=14, color="tab:red", label="their medians")
    n = results["settings"]["landscape_seeds"]
    epochs = results["settings"]["landscape_epochs"]
    axes.set(
        title=f"One triangular cycle in {epochs} epochs, mean of n={n} seeds",
        xlabel="max_lr",
        ylabel="max_lr / base_lr",
        xscale="log",
        yscale="log",
    )
    for axis, values in ((axes.xaxis, peaks), (axes.yaxis, ratios)):
        axis.set_major_locator(FixedLocator(values.tolist()))
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter("{x:g}")
    axes.legend(fontsize=8, loc="upper left")
    return figure


def edges(centres: Any) -> Any:
    """The limits of cells around values that are evenly spread on a log axis or not."""
    logs = np.log(centres)
    between = (logs[1:] + logs[:-1]) / 2
    first, last = 2 * logs[0] - between[0], 2 * logs[-1] - between[-1]
    return np.exp([first, *between, last])

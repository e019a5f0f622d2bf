"""The pictures of comparison.py, from its JSON's content alone."""

import contextlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, LogLocator, MaxNLocator, NullLocator

from lab.comparison.report import SHOWN, accuracy, at, curves, cycle_ends, landscape
from lab.comparison.schedules import RANGE_TEST, SCHEDULES, SWEEP
from lab.saved import DASHES, panels, save_figure

Results = dict[str, Any]


def draw_all(results: Results, out: Path) -> None:
    """Writes range_test, accuracy, anytime and landscape, each a .png."""
    for name, draw in {
        "range_test": draw_range_test,
        "accuracy": draw_accuracy,
        "anytime": draw_anytime,
        "landscape": draw_landscape,
    }.items():
        save_figure(draw(results), out / f"{name}.png")


def draw_range_test(results: Results) -> Figure:
    """The range test as the library draws it."""
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    curves(results).plot(figure.subplots())
    return figure


def bounds_by_seed(results: Results) -> list[tuple[float, float]]:
    """What each seed's range test suggests, of those that can be read."""
    test = curves(results)
    found = []
    for losses in test.losses:
        with contextlib.suppress(ValueError):
            found.append(replace(test, losses=losses).bounds())
    return found


def draw_accuracy(results: Results) -> Figure:
    """A and B: accuracy by all steps, those of tuning included."""
    figure, (axes,) = panels((9, 5))
    steps_per_epoch = results["settings"]["steps_per_epoch"]
    parts = (("A", "o", 5), ("B", "*", 9))
    for number, (name, plan) in enumerate(SCHEDULES.items()):
        for part, marker, size in parts:
            rows = [row for row in results[part] if row["arm"] == name]
            steps = [r["tuning_steps"] + r["epochs"] * steps_per_epoch for r in rows]
            means = [accuracy(row)[:, -1].mean() for row in rows]
            (line,) = axes.plot(steps, means, DASHES[plan.role], color=f"C{number}")
            line.set(marker=marker, ms=size, label=name if part == "A" else None)
    axes.plot([], [], "*", color="black", ms=9, label="tuned (B)")
    axes.set(
        title="Accuracy by training steps, those of tuning included",
        xlabel="Steps (log axis)",
        ylabel="Test accuracy in percent",
        xscale="log",
    )
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.legend(fontsize=8, loc="lower right")
    return figure


def draw_anytime(results: Results) -> Figure:
    """C: accuracy after every epoch, mean over the seeds, of some arms."""
    figure, (axes,) = panels((9, 5))
    last, lowest = cycle_ends(results)[-1], 100.0
    for number, arm in enumerate(SHOWN):
        rows = [row for row in results["C"] if row["arm"] == arm]
        read = [row["epochs"] for row in rows]  # of branches, each its own end
        epochs = np.array(read if len(rows) > 1 else range(1, last + 1))
        figures = np.stack([at(results, arm, end) for end in epochs.tolist()])
        color, style = f"C{number}", DASHES[rows[0]["role"]]
        mean, sd = figures.mean(axis=1), figures.std(axis=1, ddof=1)
        axes.plot(epochs, mean, style, color=color, marker=".", label=arm)
        lowest = min(lowest, *mean[epochs >= 2])  # all are low after the first
        axes.fill_between(epochs, mean - sd, mean + sd, color=color, alpha=0.1, lw=0)
    for end in cycle_ends(results):
        axes.axvline(end, color="gray", lw=0.8, zorder=0)
    axes.set(
        title=f"Any time: mean and sd of n={figures.shape[1]} seeds",
        xlabel="Epochs",
        ylabel="Test accuracy in percent",
    )
    axes.set_ylim(bottom=lowest - 1)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.legend(loc="outside lower center", ncols=3, fontsize=8)
    return figure


def draw_landscape(results: Results) -> Figure:
    """E: a heat map, with what each seed's range test suggests."""
    settings, means = results["settings"], landscape(results)
    peaks, ratios = (np.array(settings[name], float) for name in ("peaks", "ratios"))
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    best = means.max()
    left, bottom = edges(peaks), edges(ratios)
    image = axes.pcolormesh(
        left, bottom, means.T, cmap="viridis", vmin=best - 10, vmax=best
    )
    label = "Validation accuracy in percent"
    figure.colorbar(image, ax=axes, label=label, extend="min")
    for (i, j), value in np.ndenumerate(means):
        text = axes.annotate(f"{value:.1f}", (left[i], bottom[j]), (4, 4))
        text.set(size=8, color="k" if value > best - 3 else "w")
        text.set_anncoords("offset points")
    low, high = np.transpose(bounds_by_seed(results))
    axes.plot(
        high, high / low, "x", color="tab:red", label="range test, each seed, read anew"
    )
    for source, color in ((RANGE_TEST, "tab:red"), (SWEEP, "tab:orange")):
        low, high = results["bounds"][source]
        (star,) = axes.plot(high, high / low, "*", color=color, ms=14)
        star.set(mec="white", label=f"{source}, median, as used")
    n, epochs = settings["landscape_seeds"], settings["landscape_epochs"]
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

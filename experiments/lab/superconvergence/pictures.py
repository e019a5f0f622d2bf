"""The pictures of superconvergence.py, from its JSON's content alone."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lab.history import History
from lab.program import save_figure


def draw_all(results: dict[str, Any], out: Path) -> None:
    """Writes range_test.png and accuracy.png."""
    save_figure(draw_range_test(results["range_test"]), out / "range_test.png")
    save_figure(draw_accuracy(results["final"]), out / "accuracy.png")


def draw_range_test(tests: dict[str, Any]) -> Figure:
    """For each optimizer the loss by the rate, and below it what the rules read."""
    figure = Figure(figsize=(10, 6), layout="constrained")
    panels = figure.subplots(
        2, len(tests), sharex=True, sharey="row", height_ratios=(3, 2), squeeze=False
    )
    for column, (name, test) in enumerate(tests.items()):
        _draw_curve(panels[0, column], test)
        _draw_suggestions(panels[1, column], test["suggestions"])
        n = len(test["losses"])
        panels[0, column].set_title(f"Range test, {name} (n={n} seeds)")
    panels[0, 0].set_ylabel("Loss of the batch")
    # One legend serves all panels, whose artists look alike.
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3)
    return figure


def _draw_curve(axes: Axes, test: dict[str, Any]) -> None:
    """Every seed's losses, and the median and span of the smoothed ones."""
    lrs = np.array(test["lrs"])
    smoothed = np.array(test["smoothed"], float)
    for losses in np.array(test["losses"], float):
        axes.plot(lrs, losses, ".", color="tab:gray", ms=1, alpha=0.5)
    axes.plot([], [], ".", color="tab:gray", label="raw loss, each seed")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # all NaN: every seed stopped
        middle = np.nanmedian(smoothed, axis=0)
        low, high = np.nanmin(smoothed, axis=0), np.nanmax(smoothed, axis=0)
    axes.fill_between(
        lrs, low, high, color="tab:blue", alpha=0.25, lw=0, label="smoothed, all seeds"
    )
    axes.plot(lrs, middle, color="tab:blue", label="smoothed, median")
    axes.set(xscale="log", ylim=(0, 1.6 * middle[0]))
    axes.grid(alpha=0.3)


def _draw_suggestions(axes: Axes, suggestions: dict[str, Any]) -> None:
    """One line a rule: the median over the seeds, and the span of all of them."""
    names = {"smith": "smith = max_lr"}
    for height, (rule, read) in enumerate(reversed(suggestions.items())):
        spread = np.array([read[k] for k in ("median", "lowest", "highest")], float)
        median, low, high = spread
        color = "tab:red" if rule in ("smith", "base_lr") else "black"
        axes.plot([low, high], [height, height], color=color, lw=4, alpha=0.3)
        axes.plot(median, height, "o", color=color)
        if np.isfinite(high):
            axes.annotate(
                f"{names.get(rule, rule)}  {median:.2g}",
                (low, height),
                (-7, 0),
                textcoords="offset points",
                color=color,
                ha="right",
                va="center",
            )
    axes.set(
        xlabel="Learning rate (log axis)",
        yticks=[],
        ylim=(-0.7, len(suggestions) - 0.3),
    )
    axes.set_title("What each rule suggests: median and span over seeds", fontsize=10)
    axes.grid(alpha=0.3)


def draw_accuracy(final: list[dict[str, Any]]) -> Figure:
    """Fixed rates epoch by epoch; CLR at the end of runs of several lengths."""
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    for number, arm in enumerate(dict.fromkeys(run["arm"] for run in final)):
        runs = [run for run in final if run["arm"] == arm]
        draw = _draw_ends if runs[0]["role"] == "cyclical" else _draw_epochs
        draw(axes, runs, f"C{number}")
    axes.set(
        title="Test accuracy by epochs of training",
        xlabel="Epochs",
        ylabel="Accuracy on the 10,000 test images",
    )
    axes.locator_params(axis="x", integer=True)
    axes.legend(loc="lower right")
    axes.grid(alpha=0.3)
    return figure


def _draw_ends(axes: Axes, runs: list[dict[str, Any]], color: str) -> None:
    """The accuracy at the end of runs of several lengths."""
    arm = runs[0]["arm"]
    ends = np.array(
        [History.from_json({arm: run}).last(arm, "val_accuracy") for run in runs]
    )
    lengths = [run["epochs"] for run in runs]
    label = f"{arm}: a run for each point (mean, sd, n={ends.shape[1]})"
    sd = ends.std(axis=1, ddof=1)
    axes.errorbar(lengths, ends.mean(axis=1), sd, fmt="o-", capsize=3, color=color)
    axes.plot([], [], "o-", color=color, label=label)


def _draw_epochs(axes: Axes, runs: list[dict[str, Any]], color: str) -> None:
    """The accuracy of one run, epoch by epoch."""
    (run,) = runs
    accuracy = History.from_json({run["arm"]: run}).of(run["arm"], "val_accuracy")
    epochs = np.arange(1, accuracy.shape[1] + 1)
    label = f"{run['arm']}: {run['about']} (mean, range, n={len(accuracy)})"
    axes.plot(epochs, accuracy.mean(axis=0), color=color, label=label)
    axes.fill_between(
        epochs, *np.quantile(accuracy, (0, 1), axis=0), color=color, alpha=0.2, lw=0
    )

"""The table and the pictures of superconvergence.py, from its JSON's content alone."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from results import save_figure
from rich import box
from rich.console import Console
from rich.table import Table

BASELINE = "best fixed rate"


def summary(results: dict[str, Any]) -> list[dict[str, Any]]:
    """A row for each arm and length: what the table and the README quote.

    Accuracies are of the test images after the last epoch. `epochs_to_baseline` is the
    first epoch whose mean over the seeds is at least the best fixed rate's last one.
    """
    baseline = next(row for row in results["final"] if row["arm"] == BASELINE)
    goal = _accuracy(baseline)[:, -1]
    rows = []
    for run in results["final"]:
        accuracy = _accuracy(run)
        last = accuracy[:, -1]
        reached = np.flatnonzero(accuracy.mean(axis=0) >= goal.mean())
        choice = "CLR" if run["arm"].startswith("CLR") else "fixed"
        tuned = choice == "CLR" or run is baseline
        rows.append(
            {
                "arm": run["arm"],
                "epochs": run["epochs"],
                "mean": last.mean(),
                "sd": last.std(ddof=1),
                "n": len(last),
                "difference": (last - goal).mean(),
                "difference_sd": (last - goal).std(ddof=1),
                "better": int((last > goal).sum()),
                "epochs_to_baseline": int(reached[0]) + 1 if reached.size else None,
                "tuning_steps": results["tuning_steps"][choice] if tuned else 0,
                "diverged": int((~np.isfinite(_floats(run, "loss"))).any(axis=1).sum()),
            }
        )
    return rows


def diverged(results: dict[str, Any]) -> list[str]:
    """A sentence for each arm whose loss was not finite on some seed."""
    return [
        f"{row['arm']}, epochs {row['epochs']}, diverged on {row['diverged']} of "
        f"{row['n']} seeds"
        for row in summary(results)
        if row["diverged"]
    ]


def print_tables(results: dict[str, Any], console: Console) -> None:
    """The final table, what was chosen, and what each rule read."""
    console.width = max(console.width, 120)  # or rich would fold the cells
    table = Table(box=box.MARKDOWN, title="Accuracy on the 10,000 test images")
    headings = "arm|epochs|accuracy|less best fixed|better on|reaches it|tuning steps"
    for heading in headings.split("|"):
        table.add_column(heading, justify="left" if heading == "arm" else "right")
    for row in summary(results):
        reached = row["epochs_to_baseline"]
        table.add_row(
            row["arm"],
            str(row["epochs"]),
            f"{row['mean']:.4f} ± {row['sd']:.4f}",
            f"{row['difference']:+.4f} ± {row['difference_sd']:.4f}",
            f"{row['better']} of {row['n']}",
            "never" if reached is None else f"epoch {reached}",
            f"{row['tuning_steps']:,}",
        )
    table.caption = f"mean ± sd over n={results['settings']['seeds']} paired seeds"
    console.print(table)

    choices = results["choices"]
    part, tail = choices["best shape"]
    low, high = choices["bounds"]
    console.print(
        f"Chosen on the validation images: {choices['best fixed']}; for CLR the range "
        f"test's bounds {low:.3g} and {high:.3g}, times {part:g}, tail {tail:g}"
    )
    for name, test in results["range_test"].items():
        table = Table(box=box.MARKDOWN, title=f"Range test, {name}")
        for heading in ("rule", "median", "lowest", "highest", "seeds read"):
            table.add_column(heading, justify="left" if heading == "rule" else "right")
        for rule, read in test["suggestions"].items():
            values = (_number(read[key]) for key in ("median", "lowest", "highest"))
            table.add_row(rule, *(f"{value:.3g}" for value in values), str(read["n"]))
        console.print(table)
    cost = results["range_test_cost"]
    console.print(
        f"A range test of {cost['steps']} steps takes {cost['ratio']:.2f} times the "
        "time of as many plain steps"
    )


def draw_all(results: dict[str, Any], out: Path) -> None:
    """Writes range_test.png and accuracy.png."""
    save_figure(draw_range_test(results["range_test"]), out / "range_test.png")
    save_figure(draw_accuracy(results), out / "accuracy.png")


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
    lrs, raw = np.array(test["lrs"]), _floats(test, "losses")
    smoothed = _floats(test, "smoothed")
    for losses in raw:
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
        median, low, high = (_number(read[k]) for k in ("median", "lowest", "highest"))
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


def draw_accuracy(results: dict[str, Any]) -> Figure:
    """Fixed rates epoch by epoch; CLR at the end of runs of several lengths."""
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    arms: dict[str, list[dict[str, Any]]] = {}
    for run in results["final"]:
        arms.setdefault(run["arm"], []).append(run)
    for number, (arm, runs) in enumerate(arms.items()):
        color = f"C{number}"
        n = len(runs[0]["val_accuracy"])
        if arm.startswith("CLR"):
            ends = np.array([_accuracy(run)[:, -1] for run in runs])
            lengths = [run["epochs"] for run in runs]
            label = f"{arm}: a run for each point (mean, sd, n={n})"
            sd = ends.std(axis=1, ddof=1)
            axes.errorbar(
                lengths, ends.mean(axis=1), sd, fmt="o-", capsize=3, color=color
            )
            axes.plot([], [], "o-", color=color, label=label)
            continue
        accuracy = _accuracy(runs[0])
        epochs = np.arange(1, accuracy.shape[1] + 1)
        label = f"{arm}: {runs[0]['about']} (mean, range, n={n})"
        axes.plot(epochs, accuracy.mean(axis=0), color=color, label=label)
        axes.fill_between(
            epochs, *np.quantile(accuracy, (0, 1), axis=0), color=color, alpha=0.2, lw=0
        )
    axes.set(
        title="Test accuracy by epochs of training",
        xlabel="Epochs",
        ylabel="Accuracy on the 10,000 test images",
    )
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend(loc="lower right")
    axes.grid(alpha=0.3)
    return figure


def _accuracy(run: dict[str, Any]) -> np.ndarray:
    return _floats(run, "val_accuracy")


def _floats(figures: dict[str, Any], name: str) -> np.ndarray:
    """NaN where JSON has null."""
    return np.array(figures[name], dtype=float)


def _number(value: float | None) -> float:
    return np.nan if value is None else value

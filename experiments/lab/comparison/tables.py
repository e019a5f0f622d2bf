"""The tables of comparison.py, from its JSON's content alone."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich import box
from rich.table import Table

from lab.comparison.schedules import BASELINE
from lab.statistics import paired_difference

Floats = NDArray[np.float64]


def accuracy(row: dict[str, Any]) -> Floats:
    """Test accuracy in percent, of shape (seeds, epochs); NaN where a run diverged."""
    return 100 * np.array(row["figures"]["val_accuracy"], float)


def schedules(results: dict[str, Any]) -> Table:
    """A and B: a line for each schedule, untuned and tuned."""
    *shorter, longest = results["settings"]["epochs"]
    table = _table(
        f"Test accuracy in percent after {', '.join(map(str, shorter))} and {longest} "
        "epochs",
        "schedule",
        *map(str, (*shorter, longest)),
        f"less {BASELINE}",
        "peak",
        f"tuned, {longest}",
        f"less {BASELINE}",
    )
    baseline = accuracy(_named(results["B"], BASELINE))[:, -1]
    for tuned in results["B"]:
        name = tuned["arm"]
        untuned = [accuracy(r)[:, -1] for r in results["A"] if r["arm"] == name]
        best = accuracy(tuned)[:, -1]
        scores = results["peaks"][name]
        table.add_row(
            name,
            *map(mean_and_sd, untuned),
            difference(untuned[-1], baseline),
            max(scores, key=scores.__getitem__),
            mean_and_sd(best),
            "" if name == BASELINE else difference(best, baseline),
        )
    steps = {r["role"] == "cyclical": r["tuning_steps"] for r in results["B"]}
    table.caption = (
        f"mean ± sd over n={results['settings']['seeds']} paired seeds; less tuned "
        f"{BASELINE}: mean and 95 % interval; steps of tuning: "
        f"{results['A'][0]['tuning_steps']:,} for every peak untuned "
        f"({results['bounds'][1]:.3g}), {steps[False]:,} tuned, {steps[True]:,} for CLR"
    )
    return table


def anytime(results: dict[str, Any]) -> Table:
    """C and D: a line for each arm."""
    cycle = results["settings"]["cycle_epochs"]
    ends = [cycle, 2 * cycle, 3 * cycle]
    table = _table(
        "Test accuracy in percent, any time", "schedule",
        *(f"after {end}" for end in ends), f"less {BASELINE}",
        "3 snapshots", "gain",
    )  # fmt: skip
    baseline = accuracy(_named(results["C"], BASELINE))[:, -1]
    for row in results["C"]:
        figures = accuracy(row)
        outputs = results["D"][row["arm"]]
        together, alone = (100 * np.array(values, float) for values in outputs.values())
        table.add_row(
            row["arm"],
            *(mean_and_sd(figures[:, end - 1]) for end in ends),
            "" if row["arm"] == BASELINE else difference(figures[:, -1], baseline),
            mean_and_sd(together),
            difference(together, alone),
        )
    table.caption = (
        f"mean ± sd over n={results['settings']['seeds']} paired seeds; less "
        f"{BASELINE}, and gain of the snapshots' mean output over the last one: mean "
        "and 95 % interval"
    )
    return table


def regret(results: dict[str, Any]) -> str:
    """The landscape in a sentence."""
    found = results["E"]
    means = 100 * np.array(found["accuracy"], float).mean(axis=-1)
    peak, ratio = np.unravel_index(np.nanargmax(means), means.shape)
    best, own = np.nanmax(means), 100 * np.mean(found["suggestion"])
    base_lr, max_lr = results["bounds"]
    return (
        f"Landscape: best {best:.2f} at peak {found['peaks'][peak]:g}, ratio "
        f"{found['ratios'][ratio]:g}; the range test's {base_lr:.3g} to {max_lr:.3g} "
        f"has {own:.2f}: a regret of {best - own:.2f} points"
    )


def diverged(results: dict[str, Any]) -> list[str]:
    """A sentence for each final arm of which a seed's figures stopped being numbers."""
    sentences = []
    for part in "ABC":
        for row in results[part]:
            lost = int((~np.isfinite(accuracy(row))).any(axis=1).sum())
            loss = np.array(row["figures"]["loss"], float)
            lost = max(lost, int((~np.isfinite(loss)).any(axis=1).sum()))
            if lost:
                arm = f"{row['arm']} of {part}, {row['epochs']} epochs,"
                sentences.append(f"{arm} diverged on {lost} of {len(loss)} seeds")
    return sentences


def mean_and_sd(values: Floats) -> str:
    """Mean and standard deviation, of the seeds."""
    return f"{values.mean():.1f} ± {values.std(ddof=1):.1f}"


def difference(values: Floats, others: Floats) -> str:
    """The paired difference and its interval."""
    gain = paired_difference(values, others)
    return f"{gain.mean:+.2f} ± {gain.mean - gain.low:.2f}"


def _named(rows: list[dict[str, Any]], arm: str) -> dict[str, Any]:
    return next(row for row in rows if row["arm"] == arm)


def _table(title: str, first: str, *headings: str) -> Table:
    """An empty table; numbers to the right."""
    table = Table(box=box.MARKDOWN, title=title)
    table.add_column(first)
    for heading in headings:
        table.add_column(heading, justify="right")
    return table

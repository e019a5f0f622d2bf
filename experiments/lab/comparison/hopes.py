"""The protocol's hopes beside what came out, from comparison.py's JSON alone."""

from typing import Any

import numpy as np

from lab.comparison.schedules import (
    BASELINE,
    CLR,
    ONE_CYCLE,
    RANGE_TEST,
    SUGGESTIONS,
    tuned_name,
)
from lab.comparison.tables import Floats, accuracy, cycle_ends, outputs
from lab.tables import markdown

Results = dict[str, Any]


def hopes(results: Results) -> str:
    """A line for each hope: what was hoped, what came out, whether it is reached."""
    first, second, third = cycle_ends(results)
    behind, best = untuned_behind_tuned(results)
    found = [
        (f"A: CLR without tuning is within 0.3 of {best}", -behind, -0.3),
        (f"C: CLR leads by a point after {first} epochs", lead(results, first), 1.0),
        (f"C: CLR leads after {second}", lead(results, second), 0.0),
        (f"C: CLR is not 0.3 behind after {third}", lead(results, third), -0.3),
        ("D: snapshots give CLR half a point", snapshot_gain(results), 0.5),
        ("E: the regret is below a point", -regret(results), -1.0),
    ]
    lines = []
    for hope, exact, least in found:
        points = round(exact, 2) + 0.0  # as printed, and without a negative zero
        reached = "yes" if points >= least else "no"
        lines.append([hope, f"{points:+.2f}", f"{least:+.2f}", reached])
    return markdown(["hope", "points", "at least", "reached"], lines)


def untuned_behind_tuned(results: Results) -> tuple[float, str]:
    """The points between the best of B and the best CLR of A, and the former's name."""
    tuned = {row["arm"]: mean(accuracy(row)[:, -1]) for row in results["B"]}
    longest = results["settings"]["epochs"][-1]
    untuned = [
        mean(accuracy(row)[:, -1])
        for row in results["A"]
        if (row["role"], row["epochs"]) == ("cyclical", longest)
    ]
    best = max(tuned, key=tuned.__getitem__)
    return tuned[best] - max(untuned), f"the best tuned, {best}"


def lead(results: Results, epoch: int) -> float:
    """CLR's points over the better of cosine and one-cycle, both laid out for all."""
    at = {row["arm"]: mean(accuracy(row)[:, epoch - 1]) for row in results["C"]}
    return at[CLR] - max(at[tuned_name(BASELINE)], at[tuned_name(ONE_CYCLE)])


def snapshot_gain(results: Results) -> float:
    """The points that CLR's snapshots together have over its last one."""
    together, alone = outputs(results, CLR)
    return mean(together) - mean(alone)


def regret(results: Results) -> float:
    """The points that the landscape's best has over the range test's bounds."""
    return float(landscape(results).max()) - mean(
        100 * np.array(results["E"][RANGE_TEST])
    )


def landscape(results: Results) -> Floats:
    """The mean accuracies in percent, of shape (peaks, ratios)."""
    means: Floats = 100 * np.array(results["E"]["accuracy"], float).mean(axis=-1)
    return means


def found_in_landscape(results: Results) -> str:
    """The landscape in a sentence."""
    means, settings = landscape(results), results["settings"]
    peak, ratio = np.unravel_index(means.argmax(), means.shape)
    own, quarter = (100 * np.mean(results["E"][name]) for name in SUGGESTIONS)
    base_lr, max_lr = results["bounds"]
    return (
        f"Landscape: best {means.max():.2f} at peak {settings['peaks'][peak]:g}, ratio "
        f"{settings['ratios'][ratio]:g}; {own:.2f} with the range test's {base_lr:.3g} "
        f"to {max_lr:.3g}, {quarter:.2f} with a quarter of its max_lr to max_lr"
    )


def mean(values: Floats) -> float:
    """The mean over the seeds; of runs that diverged, that of guessing."""
    return float(np.where(np.isfinite(values), values, 10.0).mean())

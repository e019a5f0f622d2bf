"""What comparison.py says of its JSON's content: tables, hopes, page."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lab import tables
from lab.comparison.schedules import (
    BASELINE,
    CLR,
    ONE_CYCLE,
    RANGE_TEST,
    SUGGESTIONS,
    tuned_name,
)
from lab.history import History
from lab.tables import (
    Table,
    difference,
    mean_and_sd,
    named,
)

Results = dict[str, Any]
Floats = NDArray[np.float64]
LESS = "less cosine"


def both(results: Results) -> str:
    """The two tables, each with what its columns are."""
    return f"{schedules(results).markdown()}\n\n{anytime(results).markdown()}"


def accuracy(row: Results) -> Floats:
    """Test accuracy in percent, of shape (seeds, epochs); NaN where a run diverged."""
    history = history_of(row)
    known = np.isfinite(history.figures[0]).all(axis=-1)
    return np.where(known, 100 * history.of(row["arm"], "val_accuracy"), np.nan)


def history_of(row: Results) -> History:
    """The figures of the arm of a row."""
    return History.from_json({row["arm"]: row["figures"]})


def schedules(results: Results) -> Table:
    """A and B, a line for each schedule, and what the columns are."""
    *shorter, longest = results["settings"]["epochs"]
    untuned = [*map(str, shorter), f"{longest} epochs"]
    headings = ["schedule", *untuned, LESS, f"tuned, {longest}", LESS, "peak", "steps"]
    baseline = accuracy(named(results["B"], BASELINE))[:, -1]
    lines = []
    for row in results["B"]:
        name, tuned = row["arm"], accuracy(row)[:, -1]
        ends = [accuracy(r)[:, -1] for r in results["A"] if r["arm"] == name]
        scores = results["peaks"][name]
        gain = "" if row["role"] == "baseline" else difference(tuned, baseline, 2)
        lines.append(
            [
                name,
                *(mean_and_sd(end, 1) for end in ends),
                difference(ends[-1], baseline, 2),
                mean_and_sd(tuned, 1),
                gain,
                max(scores, key=scores.__getitem__),
                f"{row['tuning_steps']:,}",
            ]
        )
    caption = (
        f"Test accuracy in percent, mean ± sd of n={results['settings']['seeds']} "
        f"paired seeds. First with max_lr of one range test ({bounds(results)}; "
        f"{results['A'][0]['tuning_steps']:,} steps), then with the peak that so many "
        f"steps of tuning chose; {LESS}: mean and 95 % interval of the paired "
        f"difference to {BASELINE}, tuned."
    )
    return Table(headings, lines, caption)


def readme(results: Results) -> str:
    """What A and B come to after the longest runs, a line for each schedule."""
    longest = results["settings"]["epochs"][-1]
    untuned = [row for row in results["A"] if row["epochs"] == longest]
    baseline = accuracy(named(results["B"], BASELINE))[:, -1]
    lines = []
    for row in results["B"]:
        end, tuned = (accuracy(r)[:, -1] for r in (named(untuned, row["arm"]), row))
        gain = difference(end, baseline, 1)
        lines.append([row["arm"], mean_and_sd(end, 1), gain, mean_and_sd(tuned, 1)])
    headings = [f"after {longest} epochs", "range test", "less tuned cosine", "tuned"]
    return Table(headings, lines).markdown()


def anytime(results: Results) -> Table:
    """C and D, a line for each arm, and what the columns are."""
    ends = cycle_ends(results)
    read = [cell for end in ends for cell in (f"{end} epochs", LESS)]
    headings = ["schedule", *read, "3 snapshots", "less the last"]
    baseline = accuracy(named(results["C"], tuned_name(BASELINE)))
    lines = []
    for row in results["C"]:
        name, figures = row["arm"], accuracy(row)
        together, alone = outputs(results, name)
        line = [name]
        for end in ends:
            here, there = figures[:, end - 1], baseline[:, end - 1]
            gain = "" if row["role"] == "baseline" else difference(here, there, 2)
            line += [mean_and_sd(here, 1), gain]
        lines.append([*line, mean_and_sd(together, 1), difference(together, alone, 2)])
    caption = (
        f"Any time: test accuracy in percent, mean ± sd of "
        f"n={results['settings']['seeds']} paired seeds, on the way to {ends[-1]} "
        f"epochs; the mean output of the networks at these {len(ends)} ends; "
        f"{LESS} and less the last: mean and 95 % interval of the paired difference."
    )
    return Table(headings, lines, caption)


def bounds(results: Results) -> str:
    """The bounds of the range test."""
    base_lr, max_lr = results["bounds"]
    return f"{base_lr:.3g} to {max_lr:.3g}"


def cycle_ends(results: Results) -> list[int]:
    """When C is read, in epochs."""
    return [results["settings"]["cycle_epochs"] * cycle for cycle in (1, 2, 3)]


def outputs(results: Results, arm: str) -> tuple[Floats, Floats]:
    """An arm's accuracies in percent: of its snapshots together, and of the last."""
    together, alone = (
        100 * np.array(results["D"][arm][name], float) for name in ("together", "alone")
    )
    return together, alone


def diverged(results: Results) -> list[str]:
    """A sentence for each final arm of which a seed's figures stopped being numbers."""
    sentences = []
    for part in "ABC":
        for row in results[part]:
            history = history_of(row)
            for arm, lost in history.diverged().items():
                sentences.append(
                    f"{arm} of {part}, {row['epochs']} epochs, diverged on "
                    f"{len(lost)} of {history.seeds} seeds"
                )
    return sentences


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
    return Table(["hope", "points", "at least", "reached"], lines).markdown()


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


def page(results: Results) -> str:
    """A page in Markdown with all that came out, and the protocol."""
    minutes = sum(results["seconds"].values()) / 60
    return tables.page(
        "comparison",
        "CLR beside what a user would pick instead",
        results,
        "## With and without tuning",
        schedules(results).markdown(),
        "![Accuracy by training steps](accuracy.png)",
        "## Any time",
        anytime(results).markdown(),
        "![Accuracy by epochs](anytime.png)",
        "## The bounds",
        f"{found_in_landscape(results)}.",
        "![Accuracy by max_lr and its ratio to base_lr](landscape.png)",
        "![The range test](range_test.png)",
        "## What was hoped",
        hopes(results),
        more=f"Training took {minutes:.0f} minutes.",
    )

"""The tables and sentences of comparison.py, from its JSON's content alone."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lab.comparison.schedules import BASELINE, tuned_name
from lab.history import History
from lab.tables import difference, markdown, mean_and_sd, named

Results = dict[str, Any]
Floats = NDArray[np.float64]
LESS = "less cosine"


def both(results: Results) -> str:
    """The two tables, each with what its columns are."""
    return "\n\n".join([*schedules(results), *anytime(results)])


def accuracy(row: Results) -> Floats:
    """Test accuracy in percent, of shape (seeds, epochs); NaN where a run diverged."""
    history = history_of(row)
    known = np.isfinite(history.figures[0]).all(axis=-1)
    return np.where(known, 100 * history.of(row["arm"], "val_accuracy"), np.nan)


def history_of(row: Results) -> History:
    """The figures of the arm of a row."""
    return History.from_json({row["arm"]: row["figures"]})


def schedules(results: Results) -> tuple[str, str]:
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
    return markdown(headings, lines), caption


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
    return markdown(headings, lines)


def anytime(results: Results) -> tuple[str, str]:
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
    return markdown(headings, lines), caption


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

"""What transformer.py says of its JSON's content: table, sentences, page."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from lab import tables
from lab.saved import sweep_from_json
from lab.tables import Table, mean_and_sd, paired_difference
from lab.transformer.protocol import BASELINE, FREE_TUNED, HOPES, WSD, cooling

Rows = list[dict[str, Any]]


def tuned_peak(rows: Rows, grid: str, length: int) -> float:
    """The peak of a grid's best run of a length, of those that did not diverge."""
    of_length = [r for r in rows if (r["stage"], r["length"]) == (grid, length)]
    scores = np.array([row["bits"] for row in of_length], float)
    return float(of_length[np.nan_to_num(scores, nan=np.inf).argmin()]["arm"])


def by_arm(results: dict[str, Any], length: int) -> dict[str, Rows]:
    """The final runs of a length, of each arm those of all seeds in order."""
    rows = [
        row
        for row in results["runs"]
        if row["length"] == length and not row["stage"].endswith("grid")
    ]
    arms = dict.fromkeys(row["arm"] for row in rows)
    return {arm: [row for row in rows if row["arm"] == arm] for arm in arms}


def summary(results: dict[str, Any]) -> Rows:
    """A row for each length and arm: what the table and the README quote.

    `bits` are those of each seed; `less_baseline` is the mean and half of the 95 %
    interval of the paired difference to tuned warm-up and cosine.
    """
    settings = results["settings"]
    swept = sum(sweep["steps"] for sweep in results["sweeps"])
    longest = settings["lengths"][-1]
    rows = []
    for length in settings["lengths"]:
        runs = by_arm(results, length)
        roles = {arm: of_arm[0]["role"] for arm, of_arm in runs.items()}
        stages = {arm: of_arm[0]["stage"] for arm, of_arm in runs.items()}
        bits = {
            arm: np.array([run["bits"] for run in of_arm], float)
            for arm, of_arm in runs.items()
        }
        baseline = next(bits[arm] for arm in bits if roles[arm] == "baseline")
        tuning = {
            BASELINE: len(settings["grid"]) * length,
            FREE_TUNED: len(settings["grid"]) * longest,
        }
        for arm, values in bits.items():
            rows.append(
                {
                    "length": length,
                    "arm": arm,
                    "role": roles[arm],
                    "bits": values,
                    "less_baseline": paired_difference(values, baseline),
                    "tuning_steps": tuning.get(arm, swept),
                    "steps": trained_steps(arm, stages[arm], settings["lengths"]),
                    "diverged": int((~np.isfinite(values)).sum()),
                }
            )
    return rows


def trained_steps(arm: str, stage: str, lengths: list[int]) -> int:
    """The steps that a user trains for, to read one seed of an arm at each length."""
    if arm == WSD:
        return cooling(lengths[-1]) + sum(end - cooling(end) for end in lengths)
    return sum(lengths) if stage == "final" else lengths[-1]


def readme(results: dict[str, Any]) -> str:
    """The final runs as a README shows them, an arm a line, and the columns' words."""
    settings, rows = results["settings"], summary(results)
    read = [
        cell for n in settings["lengths"] for cell in (f"{n:,} steps", "less cosine")
    ]
    lines = []
    for arm in dict.fromkeys(row["arm"] for row in rows):
        line, of_arm = [arm], [row for row in rows if row["arm"] == arm]
        for row in of_arm:
            gain = row["less_baseline"].text(3)
            is_baseline = row["role"] == "baseline"
            line += [mean_and_sd(row["bits"], 3), "" if is_baseline else gain]
        tuning = _span(row["tuning_steps"] for row in of_arm)
        lines.append([*line, f"{of_arm[0]['steps']:,}", tuning])
    caption = (
        f"Bits per held-out character, less is better: mean ± sd of "
        f"n={settings['seeds']} paired seeds; less cosine: mean and 95 % interval of "
        "the paired difference to the first line; steps: those of a seed for all "
        "readings; tuning: those of the choice of its rates."
    )
    headings = ["AdamW with", *read, "steps", "tuning"]
    return Table(headings, lines, caption).markdown()


def hopes(results: dict[str, Any]) -> str:
    """What was hoped in the protocol, a line each, and what came."""
    lines = []
    for arm, most in HOPES.items():
        rows = [row for row in summary(results) if row["arm"] == arm]
        means = [row["less_baseline"].mean for row in rows]
        reached = all(mean <= most for mean in means)  # none is NaN
        came = "it came so" if reached else "it did not come so"
        told = ", ".join(
            f"{mean:+.3f} ({row['length']:,} steps)"
            for mean, row in zip(means, rows, strict=True)
        )
        lines.append(f"- {arm}, within {most} bits of {BASELINE}: {came}: {told}.")
    return "\n".join(lines)


def choices(results: dict[str, Any]) -> str:
    """The rates that were chosen, in a sentence."""
    lengths = results["settings"]["lengths"]
    runs = results["runs"]
    tuned = [f"{tuned_peak(runs, 'grid', n):g} ({n:,} steps)" for n in lengths]
    free = tuned_peak(runs, "free grid", lengths[-1])
    found = [
        f"{sweep.bounds()[1]:.2g}" for sweep in map(sweep_from_json, results["sweeps"])
    ]
    return (
        f"lr_sweep: base_lr {results['base_lr']:.3g}, max_lr {results['peak']:.3g}, "
        f"the medians of its bounds ({', '.join(found)}); peaks of the grid: "
        f"{', '.join(tuned)}, Schedule-Free {free:g}"
    )


def page(results: dict[str, Any]) -> str:
    """A page in Markdown with all that came out, and the protocol."""
    text, minutes = results["text"], results["seconds"] / 60
    return tables.page(
        "transformer",
        "CLR with AdamW on a small transformer",
        results,
        "## The final runs",
        readme(results),
        "The hopes of the protocol:",
        hopes(results),
        "![Loss by steps](loss.png)",
        "## The rates",
        f"{choices(results)}.",
        "![The sweep of each seed](sweep.png)",
        more=f"All of it took {minutes:.0f} minutes. The text has "
        f"{text['vocabulary']} different characters and the SHA-256 {text['sha256']}; "
        "another Python may have another.",
    )


def diverged(results: dict[str, Any]) -> list[str]:
    """A sentence for each arm that diverged on some seed."""
    return [
        f"{row['arm']}, {row['length']} steps, diverged on {row['diverged']} of "
        f"{row['bits'].size} seeds"
        for row in summary(results)
        if row["diverged"]
    ]


def _span(numbers: Iterable[int]) -> str:
    """The least and the greatest, or the one that all are."""
    ends = sorted(set(numbers))
    return " to ".join(f"{end:,}" for end in dict.fromkeys((ends[0], ends[-1])))

"""The table of transformer.py, and its sentences, from its JSON's content alone."""

from typing import Any

import numpy as np
from rich import box
from rich.table import Table

from clr_optax import RangeTest
from lab.statistics import paired_difference
from lab.transformer.protocol import BASELINE

Rows = list[dict[str, Any]]


def as_curves(test: dict[str, Any]) -> RangeTest:
    """The range tests of all seeds, from their lists."""
    return RangeTest(np.array(test["lrs"]), np.array(test["losses"], float))


def tuned_peak(rows: Rows, length: int) -> float:
    """The peak of the grid's best run of a length; one that diverged is none."""
    grid = [r for r in rows if (r["stage"], r["length"]) == ("grid", length)]
    scores = np.array([row["bits"] for row in grid], float)
    return float(grid[np.nan_to_num(scores, nan=np.inf).argmin()]["arm"])


def by_arm(results: dict[str, Any], length: int) -> dict[str, Rows]:
    """The final runs of a length, of each arm those of all seeds in order."""
    rows = [
        r for r in results["runs"] if (r["stage"], r["length"]) == ("final", length)
    ]
    arms = dict.fromkeys(row["arm"] for row in rows)
    rows.sort(key=lambda row: row["seed"])
    return {arm: [row for row in rows if row["arm"] == arm] for arm in arms}


def summary(results: dict[str, Any]) -> Rows:
    """A row for each length and arm: what the table and the README quote.

    `less_baseline` is the mean and the ends of the 95 % interval of the paired
    difference to tuned warm-up and cosine.
    """
    settings = results["settings"]
    rows = []
    for length in settings["lengths"]:
        bits = {
            arm: np.array([row["bits"] for row in runs], float)
            for arm, runs in by_arm(results, length).items()
        }
        for arm, values in bits.items():
            steps = settings["seeds"] * settings["range_steps"]
            rows.append(
                {
                    "length": length,
                    "arm": arm,
                    "mean": values.mean(),
                    "sd": values.std(ddof=1),
                    "n": len(values),
                    "less_baseline": paired_difference(values, bits[BASELINE]),
                    "tuning_steps": (
                        len(settings["grid"]) * length if arm == BASELINE else steps
                    ),
                    "diverged": int((~np.isfinite(values)).sum()),
                }
            )
    return rows


def final(results: dict[str, Any]) -> Table:
    """The final runs, a length and an arm a line."""
    table = Table(box=box.MARKDOWN, title="Bits per held-out character, less is better")
    for heading in ("steps", "arm", "bits", "less tuned cosine", "tuning"):
        table.add_column(heading, justify="left" if heading == "arm" else "right")
    for row in summary(results):
        gain = row["less_baseline"]
        table.add_row(
            f"{row['length']}",
            row["arm"],
            f"{row['mean']:.3f} ± {row['sd']:.3f}",
            ""
            if row["arm"] == BASELINE
            else f"{gain.mean:+.3f} ± {gain.high - gain.mean:.3f}",
            f"{row['tuning_steps']:,}",
        )
    n = results["settings"]["seeds"]
    table.caption = (
        f"bits: mean ± sd over n={n} paired seeds; difference: mean ± half of its 95 % "
        "interval; tuning: in steps"
    )
    return table


def choices(results: dict[str, Any]) -> str:
    """The rates that were chosen, in a sentence."""
    lengths = results["settings"]["lengths"]
    tuned = [f"{tuned_peak(results['runs'], n):g} ({n} steps)" for n in lengths]
    low, high = as_curves(results["range_test"]).bounds()
    return (
        f"Range test: base_lr {results['base_lr']:.3g}, peak {results['peak']:.3g} "
        f"(bounds {low:.3g} to {high:.3g}); peaks of the grid: {', '.join(tuned)}"
    )


def progress(results: dict[str, Any]) -> str:
    """What was done last, and the seconds so far."""
    rows, total = results["runs"], results["settings"]["runs"]
    what = f"range tests: base_lr {results['base_lr']:.3g}, peak {results['peak']:.3g}"
    if rows:
        last = rows[-1]
        bits = np.nan if last["bits"] is None else last["bits"]
        what = (
            f"run {len(rows)} of {total}: {last['length']} steps, {last['stage']}, "
            f"{last['arm']}, seed {last['seed']}, {bits:.3f} bits"
        )
    return f"{what}; {results['seconds']:.0f} s so far"


def diverged(results: dict[str, Any]) -> list[str]:
    """A sentence for each arm that diverged on some seed."""
    return [
        f"{row['arm']}, {row['length']} steps, diverged on {row['diverged']} of "
        f"{row['n']} seeds"
        for row in summary(results)
        if row["diverged"]
    ]

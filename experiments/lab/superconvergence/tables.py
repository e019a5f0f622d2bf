"""The tables of superconvergence.py, from its JSON's content alone."""

from typing import Any

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from lab.history import History


def summary(results: dict[str, Any]) -> list[dict[str, Any]]:
    """A row for each arm and length: what the table and the README quote.

    Accuracies are of the test images after the last epoch. `epochs_to_baseline` is the
    first epoch whose mean over the seeds is at least the best fixed rate's last one.
    """
    final = results["final"]
    baseline = next(run for run in final if run["role"] == "baseline")
    goal = _history(baseline).last(baseline["arm"], "val_accuracy")
    tuned = {
        "fixed": 0,
        "baseline": results["tuning_steps"]["fixed"],
        "cyclical": results["tuning_steps"]["CLR"],
    }
    rows = []
    for run in final:
        arm, history = run["arm"], _history(run)
        last = history.last(arm, "val_accuracy")
        by_epoch = history.of(arm, "val_accuracy").mean(axis=0)
        reached = np.flatnonzero(by_epoch >= goal.mean())
        rows.append(
            {
                "arm": arm,
                "epochs": run["epochs"],
                "mean": last.mean(),
                "sd": last.std(ddof=1),
                "n": len(last),
                "difference": (last - goal).mean(),
                "difference_sd": (last - goal).std(ddof=1),
                "better": int((last > goal).sum()),
                "epochs_to_baseline": int(reached[0]) + 1 if reached.size else None,
                "tuning_steps": tuned[run["role"]],
                "diverged": len(history.diverged().get(arm, [])),
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
    console.print(_final(results))
    choices = results["choices"]
    part, tail = choices["best shape"]
    low, high = choices["bounds"]
    console.print(
        f"Chosen on the validation images: {choices['best fixed']}; for CLR the range "
        f"test's bounds {low:.3g} and {high:.3g}, times {part:g}, tail {tail:g}"
    )
    for name, test in results["range_test"].items():
        console.print(_suggestions(name, test["suggestions"]))
    cost = results["range_test_cost"]
    console.print(
        f"A range test of {cost['steps']} steps takes {cost['ratio']:.2f} times the "
        "time of as many plain steps"
    )


def _final(results: dict[str, Any]) -> Table:
    """The final runs, an arm and a length a row."""
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
    return table


def _suggestions(name: str, suggestions: dict[str, Any]) -> Table:
    """What each rule read from one optimizer's range tests."""
    table = Table(box=box.MARKDOWN, title=f"Range test, {name}")
    for heading in ("rule", "median", "lowest", "highest", "seeds read"):
        table.add_column(heading, justify="left" if heading == "rule" else "right")
    for rule, read in suggestions.items():
        values = np.array([read[key] for key in ("median", "lowest", "highest")], float)
        table.add_row(rule, *(f"{value:.3g}" for value in values), str(read["n"]))
    return table


def _history(run: dict[str, Any]) -> History:
    """The figures of one row of the final runs."""
    return History.from_json({run["arm"]: run})

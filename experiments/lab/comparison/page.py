"""The page that comparison.py writes of its JSON's content."""

from typing import Any

from lab.comparison.hopes import found_in_landscape, hopes
from lab.comparison.tables import anytime, schedules
from lab.tables import measured_with, written_by


def page(results: dict[str, Any]) -> str:
    """A page in Markdown with all that came out, and the protocol."""
    minutes = sum(results["seconds"].values()) / 60
    where = measured_with(results["environment"])
    parts = [
        "# CLR beside what a user would pick instead",
        written_by("comparison"),
        f"{where} Training took {minutes:.0f} minutes.",
        "## With and without tuning",
        *schedules(results),
        "![Accuracy by training steps](accuracy.png)",
        "## Any time",
        *anytime(results),
        "![Accuracy by epochs](anytime.png)",
        "## The bounds",
        f"{found_in_landscape(results)}.",
        "![Accuracy by max_lr and its ratio to base_lr](landscape.png)",
        "![The range test](range_test.png)",
        "## What was hoped",
        hopes(results),
        "## The protocol",
        f"```text\n{results['protocol'].strip()}\n```",
    ]
    return "\n\n".join(parts) + "\n"

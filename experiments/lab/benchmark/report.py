"""The page that benchmark.py writes of its JSON's content."""

import statistics
from collections.abc import Sequence
from typing import Any

from lab import tables
from lab.tables import Table

HOW = (
    "`--help` says how peers are measured. Where JAX and PyTorch find a GPU, both are "
    "measured there."
)
HEADINGS = "what", "median", "least to most", "ratio", "to"


def formatted(line: dict[str, Any]) -> list[str]:
    """A line of the table as text."""
    values, unit = line["values"], line["unit"]
    spread = f"{min(values):.3g} to {max(values):.3g}"
    median = f"{statistics.median(values):.3g} {unit}"
    ratio = f"{line['ratio']:.3g}" if line["ratio"] else ""
    return [line["what"], median, spread, ratio, line["to"] or ""]


def page(results: dict[str, Any]) -> str:
    """A page in Markdown with all that was measured, and where."""
    parts = []
    for section, rows in results.items():
        if section != "environment":
            parts += [f"## {section.capitalize()}", table(rows).markdown()]
    return tables.page("benchmark", "What it costs", results, *parts, how=HOW)


def table(rows: Sequence[dict[str, Any]]) -> Table:
    """Lines of the page as a table."""
    return Table(HEADINGS, [formatted(row) for row in rows])

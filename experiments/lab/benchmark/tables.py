"""The benchmark's table, line by line."""

import statistics
from typing import Any


def row(
    what: str,
    seconds: list[float],
    unit: str = "s",
    scale: float = 1,
    beside: list[float] | None = None,
) -> dict[str, Any]:
    """A line of the table; `beside` gives the ratio of medians, this to that."""
    ratio = statistics.median(seconds) / statistics.median(beside) if beside else None
    values = [t * scale for t in seconds]
    return {"what": what, "unit": unit, "values": values, "ratio": ratio}


def formatted(line: dict[str, Any]) -> list[str]:
    """A line of the table as text."""
    values, unit = line["values"], line["unit"]
    spread = f"{min(values):.3g} to {max(values):.3g}"
    ratio = f"{line['ratio']:.3g} times" if line["ratio"] else ""
    return [line["what"], f"{statistics.median(values):.3g} {unit}", spread, ratio]

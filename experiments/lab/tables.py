"""What programs print and pages show in Markdown: tables of paired runs, versions."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats


class Interval(NamedTuple):
    """A mean with the ends of its 95 % interval, by Student's t."""

    mean: float
    low: float
    high: float


def markdown(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table whose first column stands to the left and whose others to the right."""
    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
    ruler = [("-" * width)[:-1] + "-:"[i > 0] for i, width in enumerate(widths)]
    return "\n".join(_line(cells, widths) for cells in (headings, ruler, *rows))


def mean_and_sd(values: ArrayLike, digits: int) -> str:
    """Mean and standard deviation over the seeds, or how many of them diverged."""
    values = np.asarray(values, float)
    lost = int((~np.isfinite(values)).sum())
    if lost:
        return f"{lost} of {values.size} diverged"
    return f"{values.mean():.{digits}f} ± {values.std(ddof=1):.{digits}f}"


def paired_difference(values: ArrayLike, others: ArrayLike) -> Interval:
    """The mean of values less others, seed by seed; NaN if a run diverged."""
    gains = np.subtract(values, others, dtype=float)
    reach = stats.t.ppf(0.975, gains.size - 1) * gains.std(ddof=1) / gains.size**0.5
    mean = gains.mean()
    return Interval(float(mean), float(mean - reach), float(mean + reach))


def difference(values: ArrayLike, others: ArrayLike, digits: int) -> str:
    """The mean of the paired differences and half of its 95 % interval, if known."""
    return mean_and_reach(paired_difference(values, others), digits)


def mean_and_reach(gain: Interval, digits: int) -> str:
    """A mean and half of its interval, if known."""
    if not np.isfinite(gain.mean):
        return ""
    return f"{gain.mean:+.{digits}f} ± {gain.high - gain.mean:.{digits}f}"


def named(rows: Sequence[dict[str, Any]], arm: str) -> dict[str, Any]:
    """The row of an arm."""
    return next(row for row in rows if row["arm"] == arm)


def written_by(program: str) -> str:
    """A sentence of where a page and its pictures come from."""
    return (
        f"`python experiments/{program}.py` writes [{program}.json]({program}.json), "
        "and from it all that is shown here."
    )


def measured_with(environment: dict[str, Any]) -> str:
    """A sentence of the versions and the device that figures come from."""
    where = ", ".join(f"{name} {value}" for name, value in environment.items())
    return f"Measured with {where}."


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    """A row, padded so that the columns of the text stand under each other."""
    padded = [
        cell.rjust(width) if i else cell.ljust(width)
        for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return f"| {' | '.join(padded)} |"

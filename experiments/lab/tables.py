"""What programs print and pages show: tables of paired runs, progress, versions."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import rich.table
from numpy.typing import ArrayLike
from rich import box, progress
from rich.console import Console
from scipy import stats


class Interval(NamedTuple):
    """A mean, and half of its 95 % interval by Student's t."""

    mean: float
    reach: float

    def text(self, digits: int) -> str:
        """Both, or nothing if a run diverged."""
        if not np.isfinite(self.mean):
            return ""
        return f"{self.mean:+.{digits}f} ± {self.reach:.{digits}f}"


class Table(NamedTuple):
    """Rows of text under headings; the first column stands left, the others right.

    A console prints it; `markdown` is the same for a page.
    """

    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""
    title: str = ""

    def __rich__(self) -> rich.table.Table:
        """The table for a terminal."""
        title, caption = self.title or None, self.caption or None
        table = rich.table.Table(box=box.MARKDOWN, title=title, caption=caption)
        for number, heading in enumerate(self.headings):
            table.add_column(heading, justify="right" if number else "left")
        for row in self.rows:
            table.add_row(*row)
        return table

    def markdown(self) -> str:
        """The table for a page, with the caption as a paragraph after it."""
        columns = list(zip(self.headings, *self.rows, strict=True))
        widths = [max(map(len, column)) for column in columns]
        ruler = [("-" * width)[:-1] + "-:"[i > 0] for i, width in enumerate(widths)]
        lines = []
        for cells in (self.headings, ruler, *self.rows):
            padded = [
                cell.rjust(width) if i else cell.ljust(width)
                for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
            ]
            lines.append(f"| {' | '.join(padded)} |")
        return "\n".join(lines) + (self.caption and f"\n\n{self.caption}")


class Progress(progress.Progress):
    """A bar over what there is to do, on a terminal, and the time that is left."""

    def __init__(self, console: Console, unit: str, total: int, done: int = 0):
        super().__init__(
            progress.TextColumn(unit + " {task.completed}/{task.total}"),
            progress.BarColumn(),
            progress.TextColumn("{task.fields[pace]}"),
            progress.TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self.bar = self.add_task("", total=total, completed=done, pace="compiling")
        self.left, self._done, self._seconds = total - done, 0, 0.0

    def skip(self, units: int) -> None:
        """Takes what was done before from what is left."""
        self.left -= units
        self.update(self.bar, advance=units)

    def add(self, units: int, seconds: float) -> None:
        """Counts what was done just now, in so many seconds."""
        self._done, self._seconds = self._done + units, self._seconds + seconds
        self.left -= units
        self.update(self.bar, advance=units, pace=f"{seconds / units:.1f} s each")

    @property
    def minutes_left(self) -> float:
        """At the pace so far."""
        return self.left * self._seconds / self._done / 60


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
    return Interval(float(gains.mean()), float(reach))


def named(rows: Sequence[dict[str, Any]], arm: str) -> dict[str, Any]:
    """The row of an arm."""
    return next(row for row in rows if row["arm"] == arm)


def page(
    program: str,
    title: str,
    results: dict[str, Any],
    *parts: str,
    how: str = "",
    more: str = "",
) -> str:
    """A program's page in Markdown: where all comes from, its parts, the protocol.

    `how` says how the program is run, `more` of where the figures were measured.
    """
    written = (
        f"`python experiments/{program}.py` writes [{program}.json]({program}.json), "
        f"and from it all that is shown here. {how}"
    )
    versions = ", ".join(f"{name} {v}" for name, v in results["environment"].items())
    measured = f"Measured with {versions}. {more}"
    text = [f"# {title}", written.rstrip(), measured.rstrip(), *parts]
    if "protocol" in results:
        protocol = results["protocol"].strip()
        text += ["## The protocol", f"```text\n{protocol}\n```"]
    return "\n\n".join(text) + "\n"

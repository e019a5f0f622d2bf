"""The picture of a range test."""

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from clr_optax._core import Rule
from clr_optax._range.readings import Numbers, ReadCurve, bounds, rate, reservations

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_NAME = "RangeTest.plot"
_LINE, _RANGE = "#1f4e9c", "#f2a33a"
_MARKS: dict[Rule, str] = {
    "valley": "o",
    "slide": "s",
    "steep": "^",
    "minimum": "D",
    "smith": "v",
    "limit": ">",
}


def draw(
    curves: list[ReadCurve], ax: "Axes | None", labels: Sequence[str] | None
) -> "Axes":
    """Returns the axes with the curves, the suggestions, bounds and reservations."""
    if labels is not None and len(labels) != len(curves):
        raise ValueError(
            f"{_NAME} needs a label for each curve, got labels={len(labels)}, "
            f"curves={len(curves)}."
        )
    if labels is None and any((c.lrs != curves[0].lrs).any() for c in curves):
        raise ValueError(f"{_NAME} needs labels for curves that differ in their rates.")
    ax = new_axes(_NAME) if ax is None else ax
    ends = [float(c.read.bounds[1]) if c.read.sound else np.inf for c in curves]
    low, high = _limits(curves, ends)
    lines: list[Numbers] = [curve.read.line(2 * high - low) for curve in curves]
    if labels is None:
        _draw_one(ax, curves, lines)
    else:
        _draw_each(ax, curves, lines, ends, labels)
    ax.set_xscale("linear" if _is_even(curves[0].lrs) else "log")
    ax.set_ylim(low, high)
    label_axes(ax, "learning rate", reservations(curves))
    return ax


def draw_peaks(
    ax: "Axes | None",
    peaks: Numbers,
    losses: Numbers,
    start: float,
    found: tuple[float, float],
    notes: Sequence[str],
) -> "Axes":
    """Returns the axes with the loss by peak, the bounds and the reservations."""
    axes: Any = new_axes("Sweep.plot") if ax is None else ax
    known = np.isfinite(losses)
    axes.plot(peaks[known], losses[known], "o-", color=_LINE, label="after a cycle")
    low = losses.min()
    falls = np.isfinite(start) and start > low
    span = (start - low) if falls else abs(low) or 1.0
    diverged = np.full(np.sum(~known), low + 1.1 * span)
    if diverged.size:
        axes.plot(peaks[~known], diverged, "x", color=_LINE, label="diverged")
    axes.axhline(start, color="black", lw=1, ls=":", label="at the start")
    label = f"bounds {found[0]:.3g} to {found[1]:.3g}"
    axes.axvspan(*found, color=_RANGE, alpha=0.25, lw=0, label=label)
    axes.set_xscale("log")
    axes.set_ylim(low - 0.05 * span, low + 1.2 * span)
    label_axes(axes, "peak of the cycle", notes)
    drawn: Axes = axes
    return drawn


def new_axes(function: str) -> Any:
    """Returns the axes of a new figure."""
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise ImportError(
            f"{function} needs matplotlib, pip install 'clr-jax[plot]'."
        ) from error
    return pyplot.subplots(figsize=(7, 4), dpi=120, layout="constrained")[1]


def label_axes(ax: Any, what: str, notes: Sequence[str]) -> None:
    """Says what the axes show, with notes below and a legend that fits their size."""
    figure = ax.get_figure(root=True)
    width, height = 72 * np.array(ax.get_window_extent().size) / figure.dpi
    filled = [textwrap.fill(note, max(24, int(width / 5.5))) for note in notes]
    ax.set_xlabel("\n".join([what, *filled]))
    ax.set_ylabel("loss")
    size = float(np.clip(0.045 * height, 4.5, 8.5))
    ax.legend(loc="best", fontsize=size, framealpha=0.75)


def _draw_one(ax: Any, curves: list[ReadCurve], lines: list[Numbers]) -> None:
    """Draws one curve, or several that are repetitions: their median and a band."""
    lrs, middle, label = curves[0].lrs, lines[0], "smoothed loss"
    for curve in curves:
        ax.plot(curve.lrs, curve.losses, ".", color=_LINE, alpha=0.4, ms=5, mew=0)
    if len(lines) > 1:
        low, middle, high = _spread(lines)
        ax.fill_between(lrs, low, high, color=_LINE, alpha=0.2, lw=0)
        label = f"smoothed, median of {len(lines)}"
    ax.plot(lrs, middle, color=_LINE, lw=1.8, label=label)
    try:
        base_lr, max_lr = bounds(_NAME, curves)
    except ValueError:
        return  # the reservations say why
    label = f"bounds {base_lr:.3g} to {max_lr:.3g}"
    ax.axvspan(base_lr, max_lr, color=_RANGE, alpha=0.25, lw=0, label=label)
    for rule, mark in _MARKS.items():
        lr = rate(_NAME, curves, rule)
        style = {"marker": mark, "ms": 7, "mec": "white", "ls": "none"}
        height = _height(lrs, middle, lr)
        ax.plot(lr, height, **style, label=f"{rule} {lr:.3g}", zorder=3)


def _draw_each(
    ax: Any,
    curves: list[ReadCurve],
    lines: list[Numbers],
    ends: list[float],
    labels: Sequence[str],
) -> None:
    """Draws a line for each curve, with a mark at its max_lr."""
    from matplotlib import colormaps

    colors = colormaps["viridis"](np.linspace(0, 0.9, len(curves)))
    for (lrs, *_), line, end, label, color in zip(
        curves, lines, ends, labels, colors, strict=True
    ):
        known = np.isfinite(end)
        text = f"max_lr {end:.3g}" if known else "cannot be read"
        ax.plot(lrs, line, color=color, lw=1.6, label=f"{label}: {text}")
        if known:
            height = _height(lrs, line, end)
            ax.plot(end, height, "o", color=color, ms=7, mec="white", zorder=3)


def _height(lrs: Numbers, line: Numbers, rate: float) -> float:
    """Returns where a line is at a rate."""
    known = np.isfinite(line)
    return float(np.interp(np.log(rate), np.log(lrs[known]), line[known]))


def _spread(lines: list[Numbers]) -> Numbers:
    """Returns lowest, median and highest, where more than half of the lines are."""
    stack = np.array(lines)
    spread = np.full((3, stack.shape[1]), np.nan)
    many = 2 * np.isfinite(stack).sum(axis=0) > len(stack)
    spread[:, many] = np.nanquantile(stack[:, many], [0, 0.5, 1], axis=0)
    return spread


def _is_even(lrs: Numbers) -> bool:
    """Returns whether the rates are spaced linearly."""
    steps = np.diff(lrs)
    return steps.size > 0 and bool(np.ptp(steps) < 0.01 * steps.mean())


def _limits(curves: list[ReadCurve], ends: list[float]) -> tuple[float, float]:
    """Returns the losses to show: all up to max_lr, and a part of what rises."""
    every = [curve.losses[np.isfinite(curve.losses)] for curve in curves]
    falling = [
        losses[(lrs <= end) & np.isfinite(losses)]
        for (lrs, losses, *_), end in zip(curves, ends, strict=True)
    ]
    if not any(losses.size for losses in falling):
        falling = every
    lowest = np.concatenate([*every, [np.inf]]).min()
    if not np.isfinite(lowest):
        return 0.0, 1.0
    span = (np.quantile(np.concatenate(falling), 0.98) - lowest) or 1.0
    return lowest - 0.05 * span, lowest + 1.35 * span

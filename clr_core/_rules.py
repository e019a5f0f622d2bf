"""What each rule reads from a clean curve."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from clr_core._clean import BAND, CleanCurve

LEFT = 0.07  # of the fall where it stops
STEPS = 20  # that a test makes at that rate, as to the sum of its rates, to stop there
RATIO = 10  # of max_lr to base_lr
SOLVED = 1e-24
FASTEST = 20


class Bounds(NamedTuple):
    """What Smith's rule reads, and where.

    Attributes:
        max_lr: the upper bound.
        limit: half the rate from which the loss grows, as far as it is known.
        begin: the index of the last rate before a tenth of the fall is done.
        done: the index from which on all but a small share of it is done.
        end: the index from which on the loss has risen.
    """

    max_lr: jax.Array
    limit: jax.Array
    begin: jax.Array
    done: jax.Array
    end: jax.Array


def valley(curve: CleanCurve) -> jax.Array:
    """Returns the rate in the middle of the longest falling subsequence.

    It looks at the part of the fall between 90 % and 10 %: for each point, how many
    points can be chosen up to it of which each is lower than the one before.
    """
    index = jnp.arange(curve.height.size)
    height = curve.height.clip(BAND, 1 - BAND)

    def extend(lengths: jax.Array, i: jax.Array) -> tuple[jax.Array, None]:
        before = (index < i) & (height > height[i])
        return lengths.at[i].set(1 + jnp.where(before, lengths, 0).max()), None

    lengths, _ = jax.lax.scan(extend, jnp.zeros_like(index), index)
    end = jnp.where(index <= curve.lowest, lengths, 0).argmax()
    length = lengths[end] - 1
    return curve.lrs[end - length + length // 2]


def slide(curve: CleanCurve) -> jax.Array:
    """Returns the left end of an interval whose ends slope alike.

    The interval, 15 % of the points wide, slides from the lowest point to the left
    until its right end falls no more than half a percent of the fall, on one percent of
    the points, less than its left end.
    """
    index, left, right = _sides(curve)
    rise = curve.height[right] - curve.height[left]
    steps = jnp.maximum(right - left, 1).astype(rise.dtype)
    slope = rise / steps * curve.points.astype(rise.dtype) / 100
    width = jnp.maximum(1, (curve.points * 3) // 20)
    alike = slope - slope[jnp.maximum(index - width, 0)] <= 0.005
    alike &= (index >= width) & (index <= curve.lowest)
    return curve.lrs[jnp.where(alike, index - width, 0).max()]


def steep(curve: CleanCurve) -> jax.Array:
    """Returns the rate where the curve falls most in the log of the rate.

    It looks from where the fall begins to where a tenth of it is left: at the first
    rates the means are of few losses, and steep by chance.
    """
    index, left, right = _sides(curve)
    run = jnp.log(curve.lrs[right] / curve.lrs[left])
    rise = curve.height[right] - curve.height[left]
    slope = jnp.where(run > 0, rise / run, jnp.inf)
    begin = _begin(curve)
    done = ((index >= begin) & (curve.height <= BAND)).argmax()
    falls = (index >= begin) & (index <= done)
    return curve.lrs[jnp.where(falls, slope, jnp.inf).argmin()]


def minimum(curve: CleanCurve) -> jax.Array:
    """Returns a tenth of the rate of the lowest point."""
    return curve.lrs[curve.lowest] / 10


def smith(curve: CleanCurve) -> Bounds:
    """Returns the bounds of a cycle.

    The loss stops falling where all but a small share of its fall is done. That is the
    work of all the rates until there, and a slow test does it at a small one; so max_lr
    is above the rate there in a slow test and below it in a quick one. At most it is
    half the rate from which the loss grows; as far as it has not grown, half the last
    rate; and the rate at which the loss was solved to the last digit, as from there
    nothing is left to grow.
    """
    lrs, median = curve.lrs, curve.median
    end = _end(curve)
    done = (curve.height <= LEFT).argmax()  # the lowest point is 0 high
    steps = jnp.cumsum(lrs / lrs[done])[done]
    stops = lrs[done] * jnp.cbrt(steps / STEPS) ** 2
    solved = (median >= 0) & (median < SOLVED * curve.start)
    solved = jnp.where(solved, lrs, jnp.inf).min()
    limit = jnp.minimum(_limit(curve, end), lrs[curve.last]) / 2
    limit = jnp.minimum(limit, solved)
    return Bounds(jnp.minimum(stops, limit), limit, _begin(curve), done, end)


def _begin(curve: CleanCurve) -> jax.Array:
    """Returns the index of the last rate before a tenth of the fall is done, or 0."""
    index = jnp.arange(curve.height.size)
    above = (index < curve.lowest) & (curve.height >= 1 - BAND)
    return jnp.where(above, index, 0).max()


def _end(curve: CleanCurve) -> jax.Array:
    """Returns the index from which on the loss has risen.

    There the curve last is within a tenth of its lowest: momentum makes a loss swing
    back there, a rise for good does not. A median of five hides the last two losses, so
    the last four steps are looked at in any case.
    """
    index = jnp.arange(curve.height.size)
    end = jnp.where(curve.height <= BAND, index, 0).max()
    return jnp.minimum(end, jnp.maximum(curve.points - 5, 0))


def _limit(curve: CleanCurve, end: jax.Array) -> jax.Array:
    """Returns the smallest rate from which the loss grows, infinity if it does not.

    Each new peak after the end tells by how much a step multiplied the loss; peaks, as
    a loss may be low by chance. What is below zero is counted from as far below the
    lowest loss as the start is above.
    """
    index = jnp.arange(curve.height.size)
    least = jnp.nanmin(curve.raw)
    zero = jnp.where(least >= 0, 0, 2 * least - curve.start)
    losses = jnp.where(index == end, jnp.maximum(curve.raw, curve.median), curve.raw)
    seen = (index >= end) & (index < curve.points)
    tiny = np.finfo(losses.dtype).tiny
    peaks = jax.lax.cummax(jnp.where(seen, (losses - zero).clip(tiny), tiny))
    growth = jnp.sqrt(peaks[1:] / peaks[:-1]).clip(1, FASTEST)
    limits = curve.lrs[:-1] * (2 / (1 + growth))
    grows = seen[:-1] & (growth > 1)
    return jnp.where(grows, limits, jnp.inf).min(initial=jnp.inf)


def _sides(curve: CleanCurve) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Returns each index, and the two between which its slope is taken."""
    index = jnp.arange(curve.height.size)
    left = (index - curve.reach).clip(0, curve.last)
    return index, left, (index + curve.reach).clip(0, curve.last)


RULES = {"valley": valley, "slide": slide, "steep": steep, "minimum": minimum}

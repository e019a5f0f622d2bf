"""What each rule reads from a cleaned curve."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from clr_core._curve import BAND, Curve


SWING = 0.25


class Bounds(NamedTuple):
    """What Smith's rule reads, and where.

    Attributes:
        base_lr: the lower bound.
        max_lr: the upper bound.
        begin: the index of the last rate before a tenth of the fall is done.
        rises: whether the loss rises before the curve ends.
    """

    base_lr: jax.Array
    max_lr: jax.Array
    begin: jax.Array
    rises: jax.Array


def valley(curve: Curve) -> jax.Array:
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
    end = jnp.where(index < curve.points, lengths, 0).argmax()
    length = lengths[end] - 1
    return curve.lrs[end - length + length // 2]


def slide(curve: Curve) -> jax.Array:
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


def steep(curve: Curve) -> jax.Array:
    """Returns the rate where the curve falls most in the log of the rate."""
    index, left, right = _sides(curve)
    run = jnp.log(curve.lrs[right] / curve.lrs[left])
    rise = curve.height[right] - curve.height[left]
    slope = jnp.where(run > 0, rise / jnp.where(run > 0, run, 1), jnp.inf)
    return curve.lrs[jnp.where(index <= curve.lowest, slope, jnp.inf).argmin()]


def minimum(curve: Curve) -> jax.Array:
    """Returns a tenth of the rate of the lowest point."""
    return curve.lrs[curve.lowest] / 10


def smith(curve: Curve) -> Bounds:
    """Returns the bounds of a cycle.

    The fall begins where the curve last is within a tenth of its start, before its
    lowest point, and ends where it last is within a tenth of the lowest; a curve that
    swings back there, as momentum makes it do, has not risen for good. From the end on,
    each new peak of the losses tells by how much a step multiplied the loss, and so the
    rate from which it would grow. A median of five hides the last two losses, so the
    last four steps are looked at in any case.
    """
    lrs, raw, median, height, points, lowest, _, start = curve
    index = jnp.arange(height.size)
    begin = jnp.where((index < lowest) & (height >= 1 - BAND), index, 0).max()
    peak = jax.lax.cummax(jnp.where(index > lowest, height, 0))
    low = (peak - BAND).clip(BAND, SWING)
    end = jnp.where(height <= low, index, 0).max()
    end = jnp.minimum(end, jnp.maximum(points - 5, 0))

    low = jnp.nanmin(raw)
    zero = jnp.where(low > 0, 0, 2 * low - start)
    tiny = jnp.finfo(raw.dtype).tiny
    losses = jnp.where(index == end, jnp.maximum(raw, median), raw)
    losses = jnp.where((index >= end) & (index < points), losses - zero, tiny)
    peaks = jax.lax.cummax(jnp.maximum(losses, tiny))
    growth = jnp.sqrt(peaks[1:] / peaks[:-1]).clip(1, 10)
    grows = (index[:-1] >= end) & (growth > 1)
    limits = jnp.where(grows, lrs[:-1] * (2 / (1 + growth)), jnp.inf)
    last = lrs[jnp.maximum(points - 1, 0)]
    max_lr = jnp.minimum(limits.min(), last) / 2
    return Bounds(jnp.minimum(lrs[begin], max_lr / 4), max_lr, begin, grows.any())


def _sides(curve: Curve) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Returns each index, and the two between which its slope is taken."""
    index = jnp.arange(curve.height.size)
    last = jnp.maximum(curve.points - 1, 0)
    left = (index - curve.reach).clip(0, last)
    return index, left, (index + curve.reach).clip(0, last)


RULES = {"valley": valley, "slide": slide, "steep": steep, "minimum": minimum}

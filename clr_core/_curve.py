"""A range test's curve: cleaned of noise and spikes, and what each rule reads."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

BAND = 0.1
SMALLEST = 1e-30


class Curve(NamedTuple):
    """A curve cleaned: heights are 1 at the start, 0 at the lowest, 2 at most."""

    lrs: jax.Array
    losses: jax.Array
    height: jax.Array
    points: jax.Array
    lowest: jax.Array
    reach: jax.Array
    facts: dict[str, jax.Array]


def clean(lrs: jax.Array, losses: jax.Array) -> Curve:
    index = jnp.arange(lrs.size)
    count = jnp.cumprod(jnp.isfinite(losses)).sum()
    raw = jnp.where(index < count, losses / 4, jnp.nan)  # sums of four cannot overflow

    first = (index - 2).clip(0, jnp.maximum(count - 5, 0))
    near = (first[:, None] + jnp.arange(5)).clip(0, lrs.size - 1)
    median = jnp.nanmedian(raw[near], axis=1)
    start = jnp.nanmedian(jnp.where(index < jnp.maximum(5, count // 10), raw, jnp.nan))
    noise = jnp.nanmedian(jnp.abs(raw[2:] - 2 * raw[1:-1] + raw[:-2])) / (
        0.6745 * 6**0.5
    )
    floor = jnp.nanmin(median)
    span = jnp.where(start > floor, start - floor, 1)

    height = jnp.where(index < count, ((median - floor) / span).clip(0, 2), 0)
    sums = jnp.concatenate([jnp.zeros(1, height.dtype), jnp.cumsum(height)])
    reach = jnp.maximum(1, count // 20)
    half = jnp.minimum(index, count - 1 - index).clip(0, reach)
    height = (sums[index + half + 1] - sums[index - half]) / (2 * half + 1)
    height = jnp.where(index < count, height, jnp.inf)

    low = height.min()
    height = jnp.where(index < count, (height - low) / jnp.maximum(1 - low, BAND), 2)
    order = jnp.concatenate([jnp.ones(1, bool), jnp.diff(lrs) > 0])
    facts = {
        "ordered": order & (lrs >= SMALLEST) & jnp.isfinite(lrs),
        "count": count,
        "start": 4 * start,
        "fall": 4 * (start - floor) * (1 - low),
        "noise": 4 * noise,
    }
    return Curve(lrs, raw, height, count, height.argmin(), reach, facts)


def _valley(curve: Curve) -> tuple[jax.Array, ...]:
    index = jnp.arange(curve.height.size)
    height = curve.height.clip(BAND, 1 - BAND)

    def extend(lengths: jax.Array, i: jax.Array) -> tuple[jax.Array, None]:
        before = (index < i) & (height > height[i])
        return lengths.at[i].set(1 + jnp.where(before, lengths, 0).max()), None

    lengths, _ = jax.lax.scan(extend, jnp.zeros_like(index), index)
    end = jnp.where(index < curve.points, lengths, 0).argmax()
    length = lengths[end] - 1
    return (curve.lrs[end - length + length // 2],)


def _slide(curve: Curve) -> tuple[jax.Array, ...]:
    index, left, right = _sides(curve)
    rise = curve.height[right] - curve.height[left]
    slope = rise / jnp.maximum(right - left, 1) * curve.points / 100
    width = jnp.maximum(1, (curve.points * 3) // 20)
    alike = slope - slope[jnp.maximum(index - width, 0)] <= 0.005
    alike &= (index >= width) & (index <= curve.lowest)
    return (curve.lrs[jnp.where(alike, index - width, 0).max()],)


def _steep(curve: Curve) -> tuple[jax.Array, ...]:
    index, left, right = _sides(curve)
    run = jnp.log(curve.lrs[right] / curve.lrs[left])
    rise = curve.height[right] - curve.height[left]
    slope = jnp.where(run > 0, rise / jnp.where(run > 0, run, 1), jnp.inf)
    return (curve.lrs[jnp.where(index <= curve.lowest, slope, jnp.inf).argmin()],)


def _sides(curve: Curve) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Each index, and the two between which its slope is taken."""
    index = jnp.arange(curve.height.size)
    last = jnp.maximum(curve.points - 1, 0)
    left = (index - curve.reach).clip(0, last)
    return index, left, (index + curve.reach).clip(0, last)


def _minimum(curve: Curve) -> tuple[jax.Array, ...]:
    return (curve.lrs[curve.lowest] / 10,)


def _smith(curve: Curve) -> tuple[jax.Array, ...]:
    lrs, raw, height, points, lowest, _, facts = curve
    index = jnp.arange(height.size)
    end = jnp.where((index > lowest) & (height > BAND), index, points).min() - 1
    unseen = jnp.maximum(lowest, points - 4)  # a median of five hides the last rise
    low = jnp.nanmin(raw)
    zero = jnp.where(low > 0, 0, 2 * low - facts["start"] / 4)
    excess = raw - zero
    tiny = np.finfo(excess.dtype).tiny
    growth = jnp.sqrt(excess[1:] / jnp.maximum(excess[:-1], tiny)).clip(1, 10)
    after = (index >= jnp.minimum(end, unseen)) & (index < points - 1)
    limits = lrs[:-1] * (2 / (1 + growth))
    limit = jnp.where(after[:-1] & (growth > 1), limits, lrs[end]).min()
    max_lr = jnp.minimum(limit, lrs[end]) / 2
    begin = jnp.where((index < lowest) & (height >= 1 - BAND), index, 0).max()
    return jnp.minimum(lrs[begin], max_lr / 4), max_lr


RULES = {
    "valley": _valley,
    "slide": _slide,
    "steep": _steep,
    "minimum": _minimum,
    "smith": _smith,
}

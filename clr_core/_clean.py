"""A range test's curve without noise and spikes, and what decides about it."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

BAND = 0.1
SMALLEST = 1e-30  # rate
TINY = 1e-30  # divisor
RISES = 6  # times a rise, the fall that noise which repeats does not give
AGAIN = 0.1  # of the losses beyond chance, where noise repeats
PERIODS = 1000  # the most steps after which it is sought


class CleanCurve(NamedTuple):
    """A curve without noise and spikes: 1 high where it starts, 0 at its lowest.

    Attributes:
        lrs: the rates.
        raw: the losses in units of four, NaN from the first on that is not finite.
        median: the running median of five of them.
        height: the mean of the medians over a tenth of the points, as a share of the
            fall, 2 behind the last point.
        points: how many losses there are before the first that is not finite.
        lowest: the index of the lowest height.
        reach: half of the tenth.
        start: the loss where the curve starts, in units of four.
    """

    lrs: jax.Array
    raw: jax.Array
    median: jax.Array
    height: jax.Array
    points: jax.Array
    lowest: jax.Array
    reach: jax.Array
    start: jax.Array

    @property
    def last(self) -> jax.Array:
        """The index of the last point."""
        return jnp.maximum(self.points - 1, 0)


class Facts(NamedTuple):
    """What decides whether a curve can be read; losses are in their own unit.

    Attributes:
        ordered: for each rate, whether it may stand where it stands.
        start: the loss where the curve starts.
        first: the middle one of the first five losses.
        fall: how far it falls, from its start or its first tenth, whichever is higher.
        rise: how much higher it ends than it starts.
        early: whether it has risen for good by the first third of its points.
        noise: the standard deviation of a single loss.
        chance: the largest fall that noise alone may give.
    """

    ordered: jax.Array
    start: jax.Array
    first: jax.Array
    fall: jax.Array
    rise: jax.Array
    early: jax.Array
    noise: jax.Array
    chance: jax.Array


def clean(lrs: jax.Array, losses: jax.Array) -> tuple[CleanCurve, Facts]:
    """Returns the curve and the facts.

    The start is the lower quartile of the smoothed losses at the first fifth of the
    points, or at the third of those before the lowest if they are fewer, so that a few
    high losses at first, while a network settles, do not count.
    """
    index = jnp.arange(lrs.size)
    points = jnp.cumprod(jnp.isfinite(losses).astype(index.dtype)).sum()
    inside = index < points
    raw = jnp.where(inside, losses / 4, jnp.nan)  # sums of four cannot overflow
    reach = jnp.maximum(1, points // 20)

    first = (index - 2).clip(0, jnp.maximum(points - 5, 0))
    near = (first[:, None] + jnp.arange(5)[None]).clip(0, lrs.size - 1)
    median = jnp.nanmedian(raw[near], axis=1)
    floor = jnp.nanmin(median)
    head = jnp.where(inside, median, jnp.inf).argmin() // 3
    head = jnp.maximum(head.clip(None, points // 5), jnp.maximum(2 * reach + 1, 5))
    middle = jnp.nanmedian(jnp.where(index < head, raw, jnp.nan))
    span = jnp.where(middle > floor, middle - floor, 1)

    rough = jnp.where(inside, ((median - floor) / span).clip(0, 2), 0)
    smooth = _smooth(rough, points, reach)
    low = jnp.where(inside, smooth, jnp.inf).min()
    top = jnp.nanquantile(jnp.where(index < head, smooth, jnp.nan), 0.25)
    start = floor + top * span
    height = (smooth - low) / jnp.maximum(top - low, BAND)
    height = jnp.where(inside, height, 2)
    lowest = height.argmin()
    curve = CleanCurve(lrs, raw, median, height, points, lowest, reach, start)

    full = (index >= reach) & (index < points - reach)
    fall = jnp.maximum(top, smooth[reach]) - jnp.where(full, smooth, jnp.inf).min()
    fall *= span
    rise = median[-1] - start  # that of the last five points
    calm = index <= jnp.maximum(lowest, points // 2)
    noise, chance = _noise(jnp.where(calm, raw - floor, jnp.nan), reach, fall)
    most = start + jnp.minimum(2 * noise, jnp.abs(start)) + jnp.abs(start) / 100
    flat = jnp.where(inside & (median <= most), index, 0).max()
    early = 3 * flat < points
    order = jnp.concatenate([jnp.ones(1, bool), lrs[1:] > lrs[:-1]])
    order &= (lrs >= SMALLEST) & jnp.isfinite(lrs)
    in_units = (start, median[0], fall, rise, noise, chance)
    start, first, fall, rise, noise, chance = (4 * fact for fact in in_units)
    return curve, Facts(order, start, first, fall, rise, early, noise, chance)


def line(curve: CleanCurve, most: float) -> NDArray[np.float64]:
    """Returns the smoothed losses in their own unit, NaN behind the last point.

    They are means of medians as the heights are, but of medians of which none is above
    the most that is given. NumPy computes them, which compiles nothing.
    """
    count = int(curve.points)
    medians = 4 * np.asarray(curve.median, np.float64)[:count]
    smooth = np.full(curve.lrs.size, np.nan)
    smooth[:count] = _smooth(np.minimum(medians, most), count, int(curve.reach), np)
    return smooth


def _smooth(values: Any, points: Any, reach: Any, xp: Any = jnp) -> Any:
    """Returns means over twice the reach, over less towards both ends of the points."""
    index = xp.arange(values.size)
    half = xp.minimum(index, points - 1 - index).clip(0, reach)
    return _means(values, index - half, index + half + 1, xp)


def _noise(
    raw: jax.Array, reach: jax.Array, fall: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Returns the noise of a loss, and the largest fall that such noise may give.

    Noise is what second differences show, which a smooth curve hardly has. That of a
    single loss, s, would leave s / sqrt(k) in a mean over k if one loss did not depend
    on another; means over a twentieth of the points show whether it does, or those over
    a tenth if they show less. Noise that drifts has more in them, and what drifts
    within a twentieth drifts farther over the whole; so the more they exceed, the more
    is asked of the fall: up to 20 times their own noise, and no more than a random walk
    of such losses ever falls. Noise that repeats, as that of batches that are used
    again, swings between such means and does not drift: see ``_fall_of_repeated``.
    """
    sizes = jnp.stack([jnp.ones_like(reach), reach, 2 * reach])
    single, near, far = jax.vmap(_spread, (None, 0))(raw, sizes)
    block = jnp.fmin(near, far * 2**0.5)
    size = reach.astype(raw.dtype)
    ratio = block / jnp.where(single > 0, single, block.clip(TINY))
    drift = jnp.maximum(size * ratio**2 / 2, 1) ** 1.5
    white = 4 * single / jnp.sqrt(size)
    walk = 5 * single * jnp.sqrt(jnp.isfinite(raw).sum().astype(raw.dtype))
    chance = jnp.minimum(jnp.minimum(white * drift, 20 * block), walk)
    chance = jnp.maximum(white, chance)
    return single, jnp.minimum(chance, _fall_of_repeated(raw, single, fall))


def _fall_of_repeated(raw: jax.Array, noise: jax.Array, fall: jax.Array) -> jax.Array:
    """Returns the largest fall that noise which repeats may give, infinity without.

    Means over a period are free of it. So it gives as much of the fall as they do not
    show, and to be sure six times what they rise before the lowest of them.
    """
    index = jnp.arange(raw.size)
    period = _period(raw, noise)
    known = jnp.isfinite(raw)
    means = _means(jnp.where(known, raw, 0), index, index + period)
    whole = index + period <= known.sum()
    rises = means - jax.lax.cummin(jnp.where(whole, means, jnp.inf))
    rise = jnp.maximum(jnp.where(whole, rises, 0).max(), noise / 50)
    swing = fall - (means[0] - jnp.where(whole, means, jnp.inf).min())
    chance: jax.Array = jnp.where(period > 0, swing + RISES * rise, jnp.inf)
    return chance


def _period(raw: jax.Array, noise: jax.Array) -> jax.Array:
    """Returns after how many steps losses come again, 2 to 1,000, or 0 if they do not.

    It is where most steps from loss to loss do, within a tenth of the noise, and many
    more than by chance, as between other losses. The steps, since the losses may fall.
    """
    index = jnp.arange(raw.size)
    moves = jnp.append(raw[1:] - raw[:-1], jnp.nan)

    def again(_: None, steps: jax.Array) -> tuple[None, tuple[jax.Array, jax.Array]]:
        later = jnp.where(index + steps < raw.size, jnp.roll(moves, -steps), jnp.nan)
        alike = (jnp.abs(moves - later) < noise / 10).sum().astype(raw.dtype)
        return None, (alike, jnp.isfinite(moves - later).sum().astype(raw.dtype))

    lags = index[: min(raw.size // 2, PERIODS) + 1]
    _, (alike, places) = jax.lax.scan(again, None, lags)
    places = places.clip(1)
    share = jnp.where(lags < 2, 0, alike / places)
    chance = jnp.median(share)
    excess = share - chance
    seen = (alike >= 10) & (excess >= AGAIN)
    seen &= excess >= 4 * jnp.sqrt(chance * (1 - chance) / places)
    return jnp.where(seen, share, 0).argmax()


def _spread(values: jax.Array, size: jax.Array) -> jax.Array:
    """Returns the standard deviation of means over size values, by their differences.

    It is a median over all places, so that a few spikes do not matter.
    """
    index = jnp.arange(values.size)
    known = jnp.isfinite(values)
    means = _means(jnp.where(known, values, 0), index, index + size)
    last = values.size - 1
    second, third = (index + size).clip(0, last), (index + 2 * size).clip(0, last)
    bend = jnp.abs((means[index] - means[second]) - (means[second] - means[third]))
    bend = jnp.where(index + 3 * size <= known.sum(), bend, jnp.nan)
    return jnp.nanmedian(bend) / (0.6745 * 6**0.5)


def _means(values: Any, begin: Any, end: Any, xp: Any = jnp) -> Any:
    """Returns the mean of values[begin:end] for each begin and end."""
    sums = xp.concatenate([xp.zeros(1, values.dtype), xp.cumsum(values)])
    begin, end = begin.clip(0, values.size), end.clip(0, values.size)
    return (sums[end] - sums[begin]) / xp.maximum(end - begin, 1).astype(values.dtype)

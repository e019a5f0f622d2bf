"""What speaks against trusting the bounds that were read from a curve."""

import jax
import jax.numpy as jnp

from clr_core._clean import BAND, TINY, CleanCurve, Facts
from clr_core._rules import Bounds

FEW = 10
FACTOR = 4  # from where the fall is done to the last rate, that shows what follows
LOW, NARROW = 0.2, 3  # of the fall; from the first rate of such a loss to the last

DOUBTS = (
    "max_lr: the loss falls from the first rates on, test smaller ones",
    "max_lr: the loss falls to the last rates, test larger ones",
    "max_lr: the loss rises soon after its fall, take more steps or use lr_sweep",
    "stopped early: more than half of the rates are left",
    f"few points: fewer than {FEW} make the fall",
    "noise: it is more than a quarter of the fall",
)


def doubts(curve: CleanCurve, facts: Facts, bounds: Bounds) -> tuple[jax.Array, ...]:
    """Returns whether each of the reservations holds."""
    risen = _risen(curve, facts, bounds)
    return (
        _falls_at_first(curve, bounds),
        ~risen & (curve.lrs[curve.last] < FACTOR * curve.lrs[bounds.done]),
        risen & _narrow(curve),
        2 * curve.points < curve.lrs.size,
        curve.lowest - bounds.begin < FEW,
        facts.fall < 4 * facts.noise,
    )


def _falls_at_first(curve: CleanCurve, bounds: Bounds) -> jax.Array:
    """Returns whether the loss falls from the first rates on, so that height is unseen.

    Means over the first tenth are then a tenth of the fall or more above where the
    curve is said to start. They may be where a network settles as well, but that is
    over long before a fall of its own begins.
    """
    high = curve.height[curve.reach] > 1 + BAND
    return high & (2 * bounds.begin < curve.lowest)


def _narrow(curve: CleanCurve) -> jax.Array:
    """Returns whether the loss is low at few rates only."""
    low = curve.height <= LOW
    last = jnp.where(low, jnp.arange(low.size), 0).max()
    return curve.lrs[last] < NARROW * curve.lrs[low.argmax()]


def _risen(curve: CleanCurve, facts: Facts, bounds: Bounds) -> jax.Array:
    """Returns whether the loss rises after its end.

    Means do behind the lowest of them, as a curve that falls to the last is high before
    it too. It does by more than its noise, or to four times what it was, where the
    noise of the start says little of a loss that is small by then.
    """
    index = jnp.arange(curve.height.size)
    after = (index > bounds.end) & (index < curve.points)
    half = (curve.points - 1 - index).clip(0, curve.reach).astype(curve.height.dtype)
    noise = 4 * facts.noise / jnp.maximum(facts.fall, TINY)
    smooth = curve.height > BAND + noise / jnp.sqrt(2 * half + 1)
    smooth &= index > curve.lowest
    single = curve.raw > curve.raw[bounds.end] + (BAND + noise) * facts.fall / 4
    low = curve.median[bounds.end]
    times = (curve.median > 4 * low) & (low > 0)
    return (after & (smooth | single | times)).any()

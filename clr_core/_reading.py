"""What is read from two vectors of numbers, or the reason why nothing can be."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from numpy.typing import NDArray

from clr_core._clean import SMALLEST, CleanCurve, Facts, clean, line
from clr_core._doubts import DOUBTS, doubts
from clr_core._rules import RATIO, RULES, smith

POINTS = 10

Vector = ArrayLike | Sequence[float]


class Reading(NamedTuple):
    """All that is read from a curve; rates mean nothing where it is not sound.

    Attributes:
        rates: the rate of each rule.
        bounds: base_lr and max_lr.
        doubts: whether each of the reservations holds.
        curve: the curve without noise and spikes.
        facts: what decides whether the curve is sound.
        sound: whether a rule can read it.
    """

    rates: dict[str, jax.Array]
    bounds: tuple[jax.Array, jax.Array]
    doubts: tuple[jax.Array, ...]
    curve: CleanCurve
    facts: Facts
    sound: jax.Array

    def if_sound(self, function: str, *rates: jax.Array) -> tuple[jax.Array, ...]:
        """Returns the rates, or NaN where it is not known yet whether they are sound.

        Raises:
            ValueError: they are known not to be.
        """
        if isinstance(self.sound, jax.core.Tracer):
            return tuple(jnp.where(self.sound, rate, jnp.nan) for rate in rates)
        if not self.sound:
            raise ValueError(self.reason(function))
        return rates

    def line(self, most: float) -> NDArray[np.float64]:
        """Returns the smoothed losses, of medians of which none is above the most."""
        return line(self.curve, most)

    def reservations(self) -> tuple[str, ...]:
        """Returns what speaks against trusting sound bounds, in a few words each."""
        held = zip(DOUBTS, self.doubts, strict=True)
        return tuple(text for text, holds in held if holds)

    def reason(self, function: str) -> str:
        """Returns why nothing can be read from the curve, and what would help."""
        lrs, points, facts = self.curve.lrs, self.curve.points, self.facts
        if lrs.size < POINTS:
            return _too_few(function, lrs.size)
        if not facts.ordered.all():
            k = int(facts.ordered.argmin())
            after = f" after {lrs[k - 1]}" if k else ""
            return (
                f"{function} needs finite, strictly increasing lrs of {SMALLEST} or "
                f"more (in {lrs.dtype}), got lrs[{k}]={lrs[k]}{after}."
            )
        if points < POINTS:
            hint = "begin at smaller rates"
            if not points:
                hint = "look at params and the first batch, no rate has changed a thing"
            return (
                f"{function} needs at least {POINTS} finite losses, got {points} "
                f"before the first that is not, of {lrs.size}, {hint}."
            )
        ended = ""
        if points < lrs.size:
            ended = (
                f" There is no loss after the rate {lrs[points - 1]:.3g}: if none had "
                "risen until there, look at the batch that came then."
            )
        # floats of Python's, of which no multiple overflows
        start, first, fall = float(facts.start), float(facts.first), float(facts.fall)
        rise, noise, chance = float(facts.rise), float(facts.noise), float(facts.chance)
        if fall < max(4 * noise, abs(start) / 10) and rise > max(fall, chance):
            hint = "test smaller rates"
            if not facts.early:
                hint = (
                    "nothing is learned at any rate: take more steps or larger "
                    "batches, start from params that have been trained for a while, "
                    "or use lr_sweep"
                )
            return (
                f"{function} needs losses that fall, got a rise of {rise:.3g} "
                f"from {start:.3g}, {hint}.{ended}"
            )
        got = f"a fall of {fall:.3g} from {start:.3g}"
        if not _resolved(facts):
            return (
                f"{function} needs losses that fall, got {got}, "
                f"test larger rates, or take more steps.{ended}"
            )
        hint = "take larger batches or more steps, or test larger rates"
        if first > start + max(fall / 4, noise):
            hint = "end at smaller rates, the loss falls within the first few"
        return (
            f"{function} needs losses that fall by more than {chance:.3g}, as "
            f"noise alone may, got {got} in noise of {noise:.3g}, {hint}.{ended}"
        )


def reading(function: str, lrs: Vector, losses: Vector, least: int = POINTS) -> Reading:
    """Returns what is read from two vectors of numbers, sound or not.

    Raises:
        TypeError, ValueError: they are no vectors of real numbers, of one length, that
            have the least number of points.
    """
    with jax.debug_nans(False), jax.debug_infs(False):  # NaN is where a test stopped
        rates, values = (
            _vector(function, "lrs", lrs),
            _vector(function, "losses", losses),
        )
        if rates.size != values.size:
            raise ValueError(
                f"{function} needs one loss for each rate, "
                f"got {rates.size} lrs and {values.size} losses."
            )
        if rates.size < least:
            raise ValueError(_too_few(function, rates.size))
        read: Reading = _read(rates, values)
    return read


@jax.jit
def _read(lrs: jax.Array, losses: jax.Array) -> Reading:
    """Returns what is read, whether it makes sense or not."""
    curve, facts = clean(lrs, losses)
    rates = {rule: read(curve) for rule, read in RULES.items()}
    found = smith(curve)
    rates |= {"smith": found.max_lr, "limit": found.limit}
    bounds = found.max_lr / RATIO, found.max_lr
    sound = (curve.points >= POINTS) & facts.ordered.all()
    sound &= _resolved(facts) & (facts.fall > facts.chance)
    held = doubts(curve, facts, found)
    return Reading(rates, bounds, held, curve, facts, sound)


def _resolved(facts: Facts) -> jax.Array:
    """Returns whether the fall is more than the last digits of a loss."""
    return facts.fall > 1e-4 * abs(facts.start)


def _too_few(function: str, points: int) -> str:
    """Returns the text for curves that are too short at any values."""
    return f"{function} needs at least {POINTS} points, got {points}, take more steps."


def _vector(function: str, name: str, values: Any) -> jax.Array:
    """Returns the values as a vector of JAX's default float dtype."""
    kind = type(values).__name__
    try:
        array = values if isinstance(values, jax.Array) else np.asarray(values)
        reals = (jnp.floating, jnp.integer)
        real = any(jnp.issubdtype(array.dtype, dtype) for dtype in reals)
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise TypeError(
            f"{function} needs {name} to be a vector of real numbers, "
            f"got {kind}: {error}."
        ) from error
    if not real:
        raise TypeError(
            f"{function} needs {name} to be a vector of real numbers, "
            f"got {kind} of dtype {array.dtype}."
        )
    if array.ndim != 1:
        raise ValueError(
            f"{function} needs {name} to be a vector, got shape {array.shape}, "
            "use jax.vmap for several curves."
        )
    with np.errstate(over="ignore"):
        return jnp.asarray(array, dtype=jnp.result_type(float))

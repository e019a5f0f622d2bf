"""What is read from two vectors of numbers, or the reason why nothing can be."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from clr_core._curve import SMALLEST, Facts, clean
from clr_core._doubts import DOUBTS, doubts
from clr_core._rules import RULES, smith
from clr_core._words import refusal

POINTS = 10

Vector = ArrayLike | Sequence[float]


class Reading(NamedTuple):
    """What the rules read from a curve, of no meaning where it is not sound.

    Attributes:
        rates: the rate of each rule.
        bounds: base_lr and max_lr.
        doubts: whether each of the reservations holds.
        facts: what decides whether the curve is sound.
        sound: whether a rule can read it.
    """

    rates: dict[str, jax.Array]
    bounds: tuple[jax.Array, jax.Array]
    doubts: tuple[jax.Array, ...]
    facts: Facts
    sound: jax.Array


def reading(function: str, lrs: Vector, losses: Vector) -> Reading:
    """Returns what is read from two vectors; shapes and kinds are checked."""
    with jax.debug_nans(False), jax.debug_infs(False):  # NaN is where a test stopped
        vectors = _vector(function, "lrs", lrs), _vector(function, "losses", losses)
        sizes = [vector.size for vector in vectors]
        if sizes[0] != sizes[1]:
            got = f"got {sizes[0]} lrs and {sizes[1]} losses"
            raise ValueError(refusal(function, f"one loss for each rate, {got}"))
        if sizes[0] < POINTS:
            rule = f"at least {POINTS} points, got {sizes[0]}"
            raise ValueError(refusal(function, rule, "take more steps"))
        found: Reading = _read(*vectors)
    return found


def sound(function: str, reading: Reading, *rates: jax.Array) -> tuple[jax.Array, ...]:
    """Returns the rates, or raises the reason why there are none.

    Where values are not known yet the rates become NaN instead.
    """
    if isinstance(reading.sound, jax.core.Tracer):
        return tuple(jnp.where(reading.sound, rate, jnp.nan) for rate in rates)
    if reading.sound:
        return rates
    raise ValueError(_reason(function, reading.facts))


def reservations(lrs: Vector, losses: Vector) -> tuple[str, ...]:
    """Returns what speaks against trusting the bounds of a curve, in a few words each.

    There are none for a curve that cannot be read, and errors as ``suggest_bounds`` has
    them only for shapes and kinds.
    """
    found = reading("reservations", lrs, losses)
    held = zip(DOUBTS, found.doubts, strict=True)
    return tuple(text for text, holds in held if found.sound and holds)


def _reason(function: str, facts: Facts) -> str:
    """Returns why nothing can be read from a curve, and what would help."""
    if not facts.ordered.all():
        k = int(facts.ordered.argmin())
        need = f"finite, strictly increasing lrs of {SMALLEST} or more"
        rule = f"{need} (in {facts.lrs.dtype})"
        got = f"got lrs[{k}]={facts.lrs[k]}"
        after = f" after {facts.lrs[k - 1]}" if k else ""
        return refusal(function, f"{rule}, {got}{after}")
    if facts.points < POINTS:
        rule = f"at least {POINTS} finite losses"
        got = (
            f"got {facts.points} before the first that is not, of {facts.ordered.size}"
        )
        return refusal(function, f"{rule}, {got}", "begin at smaller rates")
    if facts.rise > max(facts.fall, facts.chance):
        got = f"got a rise of {facts.rise:.3g} from {facts.start:.3g}"
        return refusal(function, f"losses that fall, {got}", "test smaller rates")
    got = f"got a fall of {facts.fall:.3g} from {facts.start:.3g}"
    if not _resolved(facts):
        return refusal(function, f"losses that fall, {got}", "test larger rates")
    rule = f"losses that fall by more than {facts.chance:.3g}, as noise alone may"
    hint = "take larger batches or more steps, or test larger rates"
    if facts.first > facts.start + facts.fall / 4:
        hint = "end at smaller rates, the loss falls within the first few"
    return refusal(function, f"{rule}, {got} in noise of {facts.noise:.3g}", hint)


@jax.jit
def _read(lrs: jax.Array, losses: jax.Array) -> Reading:
    """Returns what is read, whether it makes sense or not."""
    curve, facts = clean(lrs, losses)
    rates = {rule: read(curve) for rule, read in RULES.items()}
    bounds = smith(curve)
    rates["smith"] = bounds.max_lr
    sound = (facts.points >= POINTS) & facts.ordered.all()
    sound &= _resolved(facts) & (facts.fall > facts.chance)
    found = doubts(curve, facts, bounds)
    return Reading(rates, (bounds.base_lr, bounds.max_lr), found, facts, sound)


def _resolved(facts: Facts) -> Any:
    """Returns whether the fall is more than the last digits of a loss."""
    return facts.fall > 1e-4 * abs(facts.start)


def _vector(function: str, name: str, values: Any) -> jax.Array:
    """Returns the values as a vector of JAX's default float dtype."""
    rule = f"{name} to be a vector of real numbers"
    try:
        array = values if isinstance(values, jax.Array) else np.asarray(values)
        kinds = (jnp.floating, jnp.integer)
        real = any(jnp.issubdtype(array.dtype, kind) for kind in kinds)
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        got = f"got {type(values).__name__}: {error}"
        raise TypeError(refusal(function, f"{rule}, {got}")) from error
    if not real:
        got = f"got {type(values).__name__} of dtype {array.dtype}"
        raise TypeError(refusal(function, f"{rule}, {got}"))
    if array.ndim != 1:
        hint = "use jax.vmap for several curves"
        rule = f"{name} to be a vector, got shape {array.shape}"
        raise ValueError(refusal(function, rule, hint))
    with np.errstate(over="ignore"):
        return jnp.asarray(array, dtype=jnp.result_type(float))

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
        _check_sizes(function, *(vector.size for vector in vectors))
        read: Reading = _read(*vectors)
    return read


def _check_sizes(function: str, lrs: int, losses: int) -> None:
    """Raises ValueError for too few rates, and for other than one loss for each."""
    if lrs != losses:
        raise ValueError(
            refusal(
                function, "one loss for each rate", got=f"{lrs} lrs and {losses} losses"
            )
        )
    if lrs < POINTS:
        raise ValueError(
            refusal(function, f"at least {POINTS} points", "take more steps", got=lrs)
        )


def known(function: str, read: Reading, *rates: jax.Array) -> tuple[jax.Array, ...]:
    """Returns the rates, or raises the reason why there are none.

    Where values are not known yet the rates become NaN instead.
    """
    if isinstance(read.sound, jax.core.Tracer):
        return tuple(jnp.where(read.sound, rate, jnp.nan) for rate in rates)
    if read.sound:
        return rates
    raise ValueError(_reason(function, read.facts))


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
        after = f" after {facts.lrs[k - 1]}" if k else ""
        return refusal(
            function,
            f"finite, strictly increasing lrs of {SMALLEST} or more "
            f"(in {facts.lrs.dtype})",
            got=f"lrs[{k}]={facts.lrs[k]}{after}",
        )
    if facts.points < POINTS:
        return refusal(
            function,
            f"at least {POINTS} finite losses",
            "begin at smaller rates",
            got=f"{facts.points} before the first that is not, of {facts.ordered.size}",
        )
    if facts.rise > facts.fall and facts.rise > facts.chance:
        return refusal(
            function,
            "losses that fall",
            "test smaller rates",
            got=f"a rise of {facts.rise:.3g} from {facts.start:.3g}",
        )
    fall = f"a fall of {facts.fall:.3g} from {facts.start:.3g}"
    if not _resolved(facts):
        return refusal(
            function,
            "losses that fall",
            "test larger rates, or take more steps",
            got=fall,
        )
    settles = facts.first > facts.start + facts.fall / 4
    return refusal(
        function,
        f"losses that fall by more than {facts.chance:.3g}, as noise alone may",
        "end at smaller rates, the loss falls within the first few"
        if settles
        else "take larger batches or more steps, or test larger rates",
        got=f"{fall} in noise of {facts.noise:.3g}",
    )


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
    vector = f"{name} to be a vector"
    try:
        array = values if isinstance(values, jax.Array) else np.asarray(values)
        kinds = (jnp.floating, jnp.integer)
        real = any(jnp.issubdtype(array.dtype, kind) for kind in kinds)
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise TypeError(
            refusal(
                function,
                f"{vector} of real numbers",
                got=f"{type(values).__name__}: {error}",
            )
        ) from error
    if not real:
        raise TypeError(
            refusal(
                function,
                f"{vector} of real numbers",
                got=f"{type(values).__name__} of dtype {array.dtype}",
            )
        )
    if array.ndim != 1:
        raise ValueError(
            refusal(
                function,
                vector,
                "use jax.vmap for several curves",
                got=f"shape {array.shape}",
            )
        )
    with np.errstate(over="ignore"):
        return jnp.asarray(array, dtype=jnp.result_type(float))

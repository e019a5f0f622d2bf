"""A range test's curve read as a learning rate, and as the bounds of a cycle."""

import difflib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from clr_core._curve import RULES, SMALLEST, clean

POINTS = 10


def suggest_lr(lrs: ArrayLike, losses: ArrayLike, rule: str = "valley") -> jax.Array:
    """The learning rate that a rule reads from a range test's curve.

    The losses may come from any trainer. What follows the first loss that is not
    finite is left out; a running median of five takes out spikes, a mean over a tenth
    of the points takes out noise, and the curve is measured by its fall: 1 at its
    start, 0 at its lowest point. Slopes are taken in the log of the rate.

    ========= ==================================== ================================
    rule      suggests                             fails when
    ========= ==================================== ================================
    valley    the middle of the longest falling    the loss falls in two places: it
              subsequence between 90 % and 10 %    may span both
              of the fall
    slide     the left end of an interval of 15 %  the lowest stretch is longer than
              of the points, slid from the lowest  the interval: it stops there, at
              point to the left until both of its  a large rate
              ends slope alike
    steep     the rate of the steepest fall        the points are few: the steepest
                                                   pair of them wins
    minimum   a tenth of the rate of the lowest    the range ends before the loss
              loss                                 rises: it moves with the range
    smith     the max_lr of ``suggest_bounds``     see there
    ========= ==================================== ================================

    Args:
      lrs: the rates, a vector, positive and strictly increasing.
      losses: the loss at each rate, a vector of the same length.
      rule: one of the names above. Every rule needs at least 10 finite losses.

    Returns:
      A float32 scalar. Where values cannot be checked, under ``jit`` and ``vmap``, it
      is NaN in place of the ValueErrors that values raise.

    Raises:
      TypeError: lrs or losses are not real numbers, or rule is not a string.
      ValueError: the shapes differ or are not vectors; lrs are not as above; there are
        fewer than 10 finite losses; the losses do not fall, or by no more than three
        times their noise; rule is unknown.

    Examples:
      >>> import numpy as np
      >>> lrs = 2.0 ** np.arange(-16, 4)
      >>> losses = [2.0] * 8 + [1.75, 1.5, 1.25, 1.0, 0.75, 0.5] + [0.5, 1, 2, 4, 8, 16]
      >>> float(suggest_lr(lrs, losses))
      0.0078125
    """
    curve = _arrays("suggest_lr", lrs, losses)
    if not isinstance(rule, str):
        raise TypeError(f"suggest_lr needs the name of a rule, got rule={rule!r}.")
    if rule not in RULES:
        near = difflib.get_close_matches(rule, RULES, n=1)
        hint = (
            f"did you mean {near[0]!r}" if near else f"choose from {', '.join(RULES)}"
        )
        raise ValueError(f"suggest_lr needs a known rule, got rule={rule!r}, {hint}.")
    return _checked("suggest_lr", *curve, rule)[-1]


def suggest_bounds(lrs: ArrayLike, losses: ArrayLike) -> tuple[jax.Array, jax.Array]:
    """The (base_lr, max_lr) of a cycle, read from a range test's curve.

        base_lr = the last rate before a tenth of the fall is done, at most max_lr / 4
        max_lr  = half the rate from which the loss would grow

    The loss stops falling where it last is within a tenth of the fall above its lowest.
    From there on, where one step multiplies the loss by r, plain gradient descent on a
    quadratic of curvature L has (1 - lr L)**2 = r; so it grows from the rate
    2 lr / (1 + sqrt(r)) = 2 / L on, and the smallest such rate counts. A loss that
    still falls at the end gives half the last rate: a wider test would give more.

    It fails when the loss falls and rises again within a few points, and on a loss
    without noise tested in several hundred steps: the steep directions are then solved
    to the last bit, and the loss has nothing to grow from. Noise makes max_lr smaller.
    Momentum and Adam grow by other formulas; for them max_lr is a rule of thumb.

    Give both to ``clr_schedule`` with a step_size, half a cycle, of 2 to 8 epochs, at
    most 10; train for three cycles or more, and stop at the end of one, where the rate
    is back at base_lr and the accuracy peaks.

    Args:
      lrs: the rates, a vector, positive and strictly increasing.
      losses: the loss at each rate, a vector of the same length, 10 or more finite.

    Returns:
      Two float32 scalars, 0 < base_lr < max_lr. Where values cannot be checked, under
      ``jit`` and ``vmap``, they are NaN in place of the ValueErrors that values raise.

    Raises:
      TypeError, ValueError: as ``suggest_lr``.

    Examples:
      >>> import numpy as np
      >>> lrs = 2.0 ** np.arange(-16, 4)
      >>> losses = [2.0] * 8 + [1.75, 1.5, 1.25, 1.0, 0.75, 0.5] + [0.5, 1, 2, 4, 8, 16]
      >>> base_lr, max_lr = suggest_bounds(lrs, losses)
      >>> float(base_lr)
      0.001953125
      >>> 0.0625 < float(max_lr) < 0.125
      True

    References:
      Smith, 2015, https://arxiv.org/abs/1506.01186, section 3.3.
    """
    curve = _arrays("suggest_bounds", lrs, losses)
    base_lr, max_lr = _checked("suggest_bounds", *curve, "smith")
    return base_lr, max_lr


@jax.jit
def _read(
    lrs: jax.Array, losses: jax.Array
) -> tuple[dict[str, tuple[jax.Array, ...]], dict[str, jax.Array]]:
    """What each rule reads, NaN where nothing can be read, and the facts for that."""
    curve = clean(lrs, losses)
    facts = curve.facts
    least = jnp.maximum(3 * facts["noise"], 1e-4 * jnp.abs(facts["start"]))
    sound = (facts["count"] >= POINTS) & (facts["fall"] > least)
    sound &= facts["ordered"].all()
    rates = {rule: read(curve) for rule, read in RULES.items()}
    return jax.tree.map(lambda a: jnp.where(sound, a, jnp.nan), rates), facts


def _arrays(name: str, lrs: Any, losses: Any) -> tuple[jax.Array, jax.Array]:
    """Both as float vectors of one length."""
    vectors = []
    for label, values in (("lrs", lrs), ("losses", losses)):
        try:
            array = values if isinstance(values, jax.Array) else np.asarray(values)
            real = jnp.issubdtype(array.dtype, jnp.floating)
            real |= jnp.issubdtype(array.dtype, jnp.integer)
        except (TypeError, ValueError, RuntimeError, OverflowError) as error:
            rule = f"{name} needs {label} to be a vector of real numbers"
            raise TypeError(f"{rule}, got {type(values).__name__}: {error}") from error
        if not real:
            got = f"got {type(values).__name__} of dtype {array.dtype}"
            raise TypeError(
                f"{name} needs {label} to be a vector of real numbers, {got}."
            )
        if array.ndim != 1:
            hint = "use jax.vmap for several curves"
            got = f"got shape {array.shape}"
            raise ValueError(f"{name} needs {label} to be a vector, {got}, {hint}.")
        with np.errstate(over="ignore"):
            vectors.append(jnp.asarray(array, dtype=jnp.result_type(float)))
    if vectors[0].size != vectors[1].size:
        got = f"got {vectors[0].size} lrs and {vectors[1].size} losses"
        raise ValueError(f"{name} needs one loss for each rate, {got}.")
    if vectors[0].size < POINTS:
        got = f"got {vectors[0].size}, take more steps"
        raise ValueError(f"{name} needs at least {POINTS} points, {got}.")
    return vectors[0], vectors[1]


def _checked(
    name: str, lrs: jax.Array, losses: jax.Array, rule: str
) -> tuple[jax.Array, ...]:
    """What the rule reads, or the reason why it cannot, as far as values are known."""
    rates, facts = _read(lrs, losses)
    result: tuple[jax.Array, ...] = rates[rule]
    if any(isinstance(a, jax.core.Tracer) for a in result) or not jnp.isnan(result[0]):
        return result
    ordered, count = np.asarray(facts["ordered"]), int(facts["count"])
    if not ordered.all():
        k = int(ordered.argmin())
        need = f"finite, strictly increasing lrs of {SMALLEST} or more (in {lrs.dtype})"
        before = f" after {lrs[k - 1]}" if k else ""
        raise ValueError(f"{name} needs {need}, got lrs[{k}]={lrs[k]}{before}.")
    if count < POINTS:
        got = f"got {count} before the first that is not, of {losses.size}"
        hint = "start at a smaller rate or take more steps"
        raise ValueError(
            f"{name} needs at least {POINTS} finite losses, {got}, {hint}."
        )
    fall, noise = float(facts["fall"]), float(facts["noise"])
    got = (
        f"got a fall of {fall:.3g} from {float(facts['start']):.3g}, noise {noise:.3g}"
    )
    hint = "test larger rates if the curve is flat, smaller ones if it rises"
    raise ValueError(
        f"{name} needs losses that fall beyond their noise, {got}, {hint}."
    )

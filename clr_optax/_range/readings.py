"""What is read from each of a range test's curves, once, and from several together."""

from collections import Counter
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.typing import ArrayLike
from numpy.typing import NDArray

from clr_optax._core import Reading, Rule, reading
from clr_optax._range.raised import Raised

Numbers = NDArray[np.inexact[Any]]
Several = Raised | tuple[Raised | None, ...] | None


class ReadCurve(NamedTuple):
    """One curve as it was given, and all that is read from it."""

    lrs: Numbers
    losses: Numbers
    read: Reading
    raised: Raised | None


def read_curves(
    function: str, lrs: ArrayLike, losses: ArrayLike, raised: Several = None
) -> list[ReadCurve]:
    """Returns each curve of arrays that may hold several, read."""
    if any(isinstance(a, jax.core.Tracer) for a in (lrs, losses)):
        raise TypeError(
            f"{function} needs values that are known, "
            "suggest_bounds works under jit and vmap."
        )
    lrs, losses = np.asarray(lrs), np.asarray(losses)
    own = losses.shape[: lrs.ndim - 1] + losses.shape[-1:]  # vmap's axes are in front
    if not lrs.ndim or own != lrs.shape or not losses.size:
        raise ValueError(
            f"{function} needs one loss or more and a rate for each loss, got lrs of "
            f"shape {lrs.shape}, losses of shape {losses.shape}."
        )
    missing = tuple(range(lrs.ndim - 1, losses.ndim - 1))
    rates = np.broadcast_to(np.expand_dims(lrs, missing), losses.shape)
    rates = rates.reshape(-1, losses.shape[-1])
    each = raised if isinstance(raised, tuple) else [raised] * len(rates)
    return [
        ReadCurve(*row, jax.device_get(reading(function, *row, least=1)), one)
        for row, one in zip(
            zip(rates, losses.reshape(rates.shape), strict=True), each, strict=True
        )
    ]


def bounds(function: str, curves: list[ReadCurve]) -> tuple[float, float]:
    """Returns base_lr and max_lr, of several curves the medians."""
    reads = _readable(function, "suggest_bounds", curves)
    base_lr, max_lr = np.median([read.bounds for read in reads], axis=0)
    return float(base_lr), float(max_lr)


def rate(function: str, curves: list[ReadCurve], rule: Rule) -> float:
    """Returns a rule's rate, of several curves the median."""
    reads = _readable(function, "suggest_lr", curves)
    return float(np.median([read.rates[rule] for read in reads]))


def _readable(function: str, reader: str, curves: list[ReadCurve]) -> list[Reading]:
    """Returns the readings of the curves that can be read, more than half of all.

    Raises:
        ValueError: there are not so many; it says what the reader, a function of
            clr_core, says of the first of the others.
    """
    sound = [curve.read for curve in curves if curve.read.sound]
    if 2 * len(sound) > len(curves):
        return sound
    first = next(curve for curve in curves if not curve.read.sound)
    reason = first.read.reason(reader)
    if first.raised:
        reason += f" {first.raised}."
    if len(curves) > 1:
        reason = (
            f"{function} needs more than half of the curves to be readable, "
            f"got {len(sound)} of {len(curves)}, the first says: {reason}"
        )
    raise ValueError(reason)


def reservations(curves: list[ReadCurve]) -> tuple[str, ...]:
    """Returns the reservations, of several curves with how many each holds for."""
    several = len(curves) > 1
    counts: Counter[str] = Counter()
    raised = [curve.raised for curve in curves if curve.raised]
    if raised:
        counts[str(min(raised, key=lambda one: one.lr))] = len(raised)
    for curve in curves:
        if curve.read.sound:
            counts.update(curve.read.reservations())
        elif several:
            counts["no bounds"] += 1
        else:
            counts[f"no bounds: {curve.read.reason('suggest_bounds')}"] += 1
    if not several:
        return tuple(counts)
    return tuple(f"{text} ({n} of {len(curves)})" for text, n in counts.items())

"""What is read from one curve, or from several as medians."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from clr_core import suggest_bounds
from clr_optax._core import refusal, reservations

Curve = tuple[NDArray[Any], NDArray[Any]]


def curves_of(function: str, lrs: Any, losses: Any) -> list[Curve]:
    """Returns each curve as its rates and losses, of arrays that may hold several."""
    if any(isinstance(a, jax.core.Tracer) for a in (lrs, losses)):
        raise TypeError(
            refusal(
                function,
                "values that are known",
                "suggest_bounds works under jit and vmap",
            )
        )
    lrs, losses = _array(function, "lrs", lrs), _array(function, "losses", losses)
    axes = range(1, losses.ndim + 1)
    if lrs.ndim not in axes or losses.shape[-lrs.ndim :] != lrs.shape:
        raise ValueError(
            refusal(
                function,
                "a rate for each loss",
                got=f"lrs of shape {lrs.shape}, losses of shape {losses.shape}",
            )
        )
    if not losses.size:
        raise ValueError(refusal(function, "losses", got=f"shape {losses.shape}"))
    lrs = np.broadcast_to(lrs, losses.shape).reshape(-1, losses.shape[-1])
    return list(zip(lrs, losses.reshape(lrs.shape), strict=True))


def _array(function: str, name: str, values: Any) -> NDArray[Any]:
    """Returns the values as an array of numbers."""
    try:
        array = np.asarray(values)
        if array.dtype != object:
            return array
        reason = "objects"
    except (TypeError, ValueError, RuntimeError) as error:
        reason = str(error)
    got = f"{type(values).__name__}: {reason}"
    raise TypeError(refusal(function, f"{name} as an array of numbers", got=got))


def medians(
    function: str, curves: list[Curve], read: Callable[..., Any]
) -> list[float]:
    """Returns the medians of what is read from each curve that can be read."""
    if len(curves) == 1:
        return list(map(float, np.ravel(read(*curves[0]))))
    values, errors = [], []
    for curve in curves:
        try:
            values.append(np.ravel(read(*curve)))
        except ValueError as error:
            errors.append(error)
    if len(values) <= len(errors):
        reason = str(errors[0]).rstrip(".")
        raise ValueError(
            refusal(
                function,
                "more than half of the curves to be readable",
                f"the first says: {reason}",
                got=f"{len(values)} of {len(curves)}",
            )
        )
    return list(map(float, np.median(values, axis=0)))


def doubts(curves: list[Curve]) -> tuple[str, ...]:
    """Returns the reservations; of several curves, with how many each holds for."""
    counts: dict[str, int] = {}
    for curve in curves:
        for text in _doubts(curve, "no bounds" if len(curves) > 1 else None):
            counts[text] = counts.get(text, 0) + 1
    if len(curves) == 1:
        return tuple(counts)
    return tuple(f"{text} ({n} of {len(curves)})" for text, n in counts.items())


def _doubts(curve: Curve, unread: str | None) -> tuple[str, ...]:
    """Returns a curve's reservations, or why it cannot be read, or what is given."""
    try:
        suggest_bounds(*curve)
    except ValueError as error:
        return (unread or f"no bounds: {error}",)
    return reservations(*curve)

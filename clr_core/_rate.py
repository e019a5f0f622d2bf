"""The rate, by compiled functions that numbers of every kind go through."""

import contextlib
import functools
import struct
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.typing import ArrayLike
from numpy.typing import NDArray

from clr_core._numbers import Float, float_type, logarithm, whole_counts
from clr_core._triangle import blend, power_of_half, triangle

ScaleFn = Callable[[Array], ArrayLike]
_PYTHON = frozenset({int, float, type(None)})
_PACKED = struct.Struct("3i3f")


def rate_of_mode(
    step: ArrayLike,
    step_size: ArrayLike,
    step_size_down: ArrayLike | None,
    base_lr: ArrayLike,
    max_lr: ArrayLike,
    gamma: ArrayLike,
    mode: str,
    anneal: str,
    mult: int,
) -> Array:
    """Returns the rate of a mode.

    Each argument of a compiled function takes 1 or 2 us of an eager call of 7, so that
    Python numbers are handed over as one array.
    """
    given = step, step_size, step_size_down, base_lr, max_lr, gamma
    counts = whole_counts(step, step_size, step_size_down)
    rates = base_lr, max_lr, logarithm(gamma) if mode == "exp_range" else None
    rate: Array
    if _PYTHON.issuperset(map(type, given)):
        with contextlib.suppress(struct.error, OverflowError):  # more than 32 bits
            rate = _rate_of_packed(_packed(counts, rates), mode, anneal, mult)
            return rate
    kind = float_type(*given)
    rate = _rate(*counts, *rates, mode, anneal, kind, mult)
    return rate


def _packed(counts: tuple[Any, ...], rates: tuple[Any, ...]) -> NDArray[np.int32]:
    """Returns three int32 and the bits of three float32."""
    step, up, down = counts
    base_lr, max_lr, log_gamma = rates
    fall = up if down is None else down
    words = _PACKED.pack(step, up, fall, base_lr, max_lr, log_gamma or 0.0)
    return np.frombuffer(words, np.int32)


@functools.partial(jax.jit, static_argnames=("mode", "anneal", "mult"))
def _rate_of_packed(words: Array, mode: str, anneal: str, mult: int) -> Array:
    """Returns the rate of numbers that came packed in one array."""
    base_lr, max_lr, log_gamma = lax.bitcast_convert_type(words[3:], np.float32)
    numbers = *words[:3], base_lr, max_lr, log_gamma if mode == "exp_range" else None
    rate: Array = _rate(*numbers, mode, anneal, np.float32, mult)
    return rate


@functools.partial(jax.jit, static_argnames=("mode", "anneal", "kind", "mult"))
def _rate(
    step: ArrayLike,
    up: ArrayLike,
    down: ArrayLike | None,
    base_lr: ArrayLike,
    max_lr: ArrayLike,
    log_gamma: ArrayLike | None,
    mode: str,
    anneal: str,
    kind: Float,
    mult: int,
) -> Array:
    """Returns the rate of a mode, as a float of that kind."""
    part, upper, cycle, count = triangle(step, up, down, anneal, kind, mult)
    scale: ArrayLike = 1.0
    if mode == "triangular2":
        scale = power_of_half(cycle - 1, kind)
    elif log_gamma is not None:
        scale = jnp.exp(count.astype(kind) * jnp.asarray(log_gamma).astype(kind))
    rate: Array = blend(base_lr, max_lr, part, upper, scale)
    return rate


def rate_of_scale_fn(
    step: ArrayLike,
    step_size: ArrayLike,
    step_size_down: ArrayLike | None,
    base_lr: ArrayLike,
    max_lr: ArrayLike,
    scale_fn: ScaleFn,
    scale_mode: str,
    anneal: str,
    mult: int,
) -> Array:
    """Returns the rate of a scale_fn, which runs as it is: eagerly in an eager call."""
    counts = step, step_size, step_size_down
    kind = float_type(*counts, base_lr, max_lr)
    part, upper, count = _unscaled(
        *whole_counts(*counts), scale_mode, anneal, kind, mult
    )
    try:
        scale = scale_fn(count)
    except jax.errors.JAXTypeError as error:
        error.add_note(
            "scale_fn is traced: write it in jax.numpy, with jax.numpy.where for if"
        )
        raise
    rate: Array = blend(base_lr, max_lr, part, upper, scale)
    return rate


@functools.partial(
    jax.jit, static_argnames=("scale_mode", "anneal", "kind", "mult"), inline=True
)
def _unscaled(
    step: ArrayLike,
    up: ArrayLike,
    down: ArrayLike | None,
    scale_mode: str,
    anneal: str,
    kind: Float,
    mult: int,
) -> tuple[Array, Array, Array]:
    """Returns part, upper and what `scale_fn` is given, as a float."""
    part, upper, cycle, count = triangle(step, up, down, anneal, kind, mult)
    return part, upper, (cycle if scale_mode == "cycle" else count).astype(kind)

"""The rate as compiled functions, whatever its numbers are."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from clr_core._numbers import (
    Float,
    float_type,
    integer_type,
    logarithm,
    whole_counts,
)
from clr_core._triangle import blend, power_of_half, triangle

_PYTHON = frozenset({int, float, type(None)})


def rate_of(
    step: Any,
    step_size: Any,
    step_size_down: Any,
    base_lr: Any,
    max_lr: Any,
    gamma: Any,
    mode: str,
    anneal: str,
) -> Array:
    """Returns the rate of a mode.

    Each argument of a compiled function takes 1 or 2 us of an eager call of 7, so that
    Python numbers are handed over as two arrays.
    """
    kind = float_type(step, step_size, step_size_down, base_lr, max_lr, gamma)
    step, up, down = whole_counts(step, step_size, step_size_down)
    fall = up if down is None else down
    log_gamma = logarithm(gamma) if mode == "exp_range" else None
    plain = kind is np.float32 and type(step) is type(up) is type(fall) is int
    rate: Array
    if plain and _PYTHON.issuperset(map(type, (base_lr, max_lr, log_gamma))):
        counts = np.array((step, up, fall), integer_type())
        rates = np.array((base_lr, max_lr, log_gamma or 0.0), np.float32)
        rate = _rate_of_arrays(counts, rates, mode, anneal)
    else:
        numbers = step, up, down, base_lr, max_lr, log_gamma
        rate = _rate(*numbers, mode, anneal, kind)
    return rate


@functools.partial(jax.jit, static_argnames=("mode", "anneal"))
def _rate_of_arrays(counts: Array, rates: Array, mode: str, anneal: str) -> Array:
    """Returns the rate of three counts and of base_lr, max_lr and log_gamma."""
    log_gamma = rates[2] if mode == "exp_range" else None
    numbers = *counts, rates[0], rates[1], log_gamma
    rate: Array = _rate(*numbers, mode, anneal, np.float32)
    return rate


@functools.partial(jax.jit, static_argnames=("mode", "anneal", "kind"))
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
) -> Array:
    """Returns the rate of a mode, as a float of that kind."""
    part, upper, cycle, count = triangle(step, up, down, anneal, kind)
    scale: ArrayLike = 1.0
    if mode == "triangular2":
        scale = power_of_half(cycle - 1, kind)
    elif log_gamma is not None:
        scale = jnp.exp(count.astype(kind) * jnp.asarray(log_gamma).astype(kind))
    rate: Array = blend(base_lr, max_lr, part, upper, scale)
    return rate


@functools.partial(
    jax.jit, static_argnames=("scale_mode", "anneal", "kind"), inline=True
)
def unscaled(
    step: ArrayLike,
    up: ArrayLike,
    down: ArrayLike | None,
    scale_mode: str,
    anneal: str,
    kind: Float,
) -> tuple[Array, Array, Array]:
    """Returns part, upper and what `scale_fn` is given, as a float."""
    part, upper, cycle, count = triangle(step, up, down, anneal, kind)
    return part, upper, (cycle if scale_mode == "cycle" else count).astype(kind)

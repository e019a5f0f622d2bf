"""The rate as compiled functions, whatever its numbers are."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.typing import ArrayLike

from clr_core._numbers import (
    Float,
    float_type,
    is_single,
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
    """Returns the rate of a mode, quickly for Python numbers at one known step."""
    numbers = step_size, step_size_down, base_lr, max_lr, gamma
    words = None
    if _PYTHON.issuperset(map(type, numbers)) and _is_count(step):
        words = _as_words(*numbers, mode)
    rate: Array
    if words is not None:
        rate = _rate_of_words(step, words, mode, anneal)
    else:
        kind = float_type(step, *numbers)
        counts = whole_counts(step, step_size, step_size_down)
        log_gamma = logarithm(gamma) if mode == "exp_range" else None
        rate = _rate(*counts, base_lr, max_lr, log_gamma, mode, anneal, kind)
    return rate


def _is_count(step: Any) -> bool:
    """Returns whether a step is one known integer that fits int32."""
    if isinstance(step, int | np.integer):
        return abs(int(step)) < 2**31
    return is_single(step) and isinstance(step, Array) and step.dtype.kind in "iu"


@functools.lru_cache(maxsize=64, typed=True)
def _as_words(
    step_size: float,
    step_size_down: float | None,
    base_lr: float,
    max_lr: float,
    gamma: float,
    mode: str,
) -> np.ndarray[Any, np.dtype[np.int32]] | None:
    """Returns both sizes and three floats as 32-bit words, if the sizes are whole.

    Each argument of a compiled function takes 1 or 2 us of an eager call of 6, so that
    there is one of them. It is NumPy's, at home on every device and in every mesh.
    """
    _, up, down = whole_counts(0, step_size, step_size_down)
    sizes = up, up if down is None else down
    if any(type(size) is float or abs(size) >= 2**31 for size in sizes):
        return None
    log_gamma = logarithm(gamma) if mode == "exp_range" else 0.0
    rates = np.array((base_lr, max_lr, log_gamma), np.float32)
    return np.concatenate([np.array(sizes, np.int32), rates.view(np.int32)])


@functools.partial(jax.jit, static_argnames=("mode", "anneal"))
def _rate_of_words(step: ArrayLike, words: Array, mode: str, anneal: str) -> Array:
    rates = lax.bitcast_convert_type(words[2:], jnp.float32)
    log_gamma = rates[2] if mode == "exp_range" else None
    numbers = words[0], words[1], rates[0], rates[1], log_gamma
    rate: Array = _rate(step, *numbers, mode, anneal, np.float32)
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

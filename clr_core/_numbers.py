"""What is known of the numbers of a call: whole, wide, or yet to come."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from clr_core._words import refusal

Float = type[np.float32] | type[np.float64]


def integer_type() -> np.dtype[Any]:
    """Returns the type of JAX's integers: int64 under x64, else int32."""
    return jax.dtypes.canonicalize_dtype(np.int64)


def float_type(*numbers: object) -> Float:
    """Returns float64 under x64 if a number has that type itself, else float32."""
    if jax.dtypes.canonicalize_dtype(np.float64) == np.float32:
        return np.float32
    for x in numbers:
        dtype, weak = getattr(x, "dtype", None), getattr(x, "weak_type", False)
        if dtype == np.float64 and not weak:
            return np.float64
    return np.float32


def is_single(value: object) -> bool:
    """Returns whether a value is one number of NumPy's or JAX's, and known."""
    if isinstance(value, jax.core.Tracer):
        return False
    return isinstance(value, np.generic | np.ndarray | Array) and value.ndim == 0


def whole_counts(step: Any, step_size: Any, step_size_down: Any) -> tuple[Any, ...]:
    """Returns the three, known whole numbers as Python integers.

    Raises:
        OverflowError: an integer does not fit the type of JAX's.
    """
    down = step_size_down
    if down is not None:
        down = _whole("step_size_down", down)
    return _whole("step", step), _whole("step_size", step_size), down


def _whole(name: str, value: Any) -> Any:
    """Returns a known whole number as a Python int, any other value as it is."""
    if type(value) is int and abs(value) < 2**31:
        return value
    if isinstance(value, Array) and value.dtype.kind in "iu":
        return value
    kind = integer_type()
    number = value.item() if is_single(value) else value
    if isinstance(number, float) and number.is_integer() and _fits(int(number), kind):
        return int(number)
    if not _fits(number, kind):
        raise OverflowError(
            refusal(
                "clr",
                f"{name} that fits {kind}",
                "jax.config.update('jax_enable_x64', True) allows more"
                if kind == np.int32
                else "",
                **{name: value},
            )
        )
    return number if type(number) is int else value


def _fits(number: Any, kind: np.dtype[Any]) -> bool:
    """Returns whether an integer, or each of NumPy's, keeps its value as `kind`."""
    least = most = number
    if isinstance(number, np.ndarray) and number.dtype.kind in "iu":
        if number.size == 0 or np.can_cast(number.dtype, kind):
            return True
        least, most = number.min(), number.max()
    elif type(number) is not int:
        return True
    return bool(np.iinfo(kind).min <= least and most <= np.iinfo(kind).max)


def logarithm(gamma: Any) -> Any:
    """Returns the logarithm, taken with 53 bits where the number is at hand."""
    if isinstance(gamma, np.ndarray | np.generic):
        exact = np.log(gamma.astype(np.float64))
        return exact if gamma.dtype == np.float64 else exact.astype(np.float32)
    if isinstance(gamma, Array):
        return _log_of_array(gamma)
    if gamma <= 0:
        raise ValueError(refusal("clr", "gamma above 0", gamma=gamma))
    return math.log(gamma)


@jax.jit
def _log_of_array(gamma: Array) -> Array:
    return jnp.log(gamma.astype(float_type(gamma)))

"""The numbers of a call, as given: which type they ask for, and whether they fit."""

import math
from typing import Any, TypeGuard

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike
from numpy.typing import NDArray

from clr_core._words import short_repr

Float = type[np.float32] | type[np.float64]
_WIDER = "jax.config.update('jax_enable_x64', True) allows more"


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


def is_single(value: object) -> TypeGuard[np.generic | NDArray[Any] | Array]:
    """Returns whether a value is one number of NumPy's or JAX's, and known."""
    if isinstance(value, jax.core.Tracer):
        return False
    return isinstance(value, np.generic | np.ndarray | Array) and value.ndim == 0


def whole_counts(
    step: ArrayLike, step_size: ArrayLike, step_size_down: ArrayLike | None
) -> tuple[ArrayLike, ArrayLike, ArrayLike | None]:
    """Returns the three, those that are whole and known as Python integers.

    Raises:
        OverflowError: an integer does not fit the type of JAX's.
    """
    down = step_size_down
    if down is not None:
        down = _whole("step_size_down", down)
    return _whole("step", step), _whole("step_size", step_size), down


def whole_mult(function: str, value: Any) -> int:
    """Returns cycle_mult as a Python integer, for whose value code is compiled."""
    number = value.item() if is_single(value) else value
    if isinstance(number, bool) or not isinstance(number, int | float):
        raise TypeError(
            f"{function} needs cycle_mult as one number that is known, got "
            f"cycle_mult={short_repr(value)}, code is compiled for each."
        )
    if not 1 <= number < 2**31 or number != int(number):
        raise ValueError(
            f"{function} needs a whole cycle_mult from 1 to 2**31 - 1, got "
            f"cycle_mult={short_repr(number)}, each cycle is so many times as long as "
            "the one before."
        )
    return int(number)


def _whole(name: str, value: ArrayLike) -> ArrayLike:
    """Returns a number that is whole and known as an int, any other value as it is."""
    if type(value) is int and abs(value) < 2**31:
        return value
    if isinstance(value, Array) and value.dtype.kind in "iu":
        return value
    kind = integer_type()
    number: Any = value.item() if is_single(value) else value
    if isinstance(number, float) and number.is_integer() and _fits(int(number), kind):
        return int(number)
    if not _fits(number, kind):
        hint = "" if kind == np.int64 else f", {_WIDER}"
        raise OverflowError(
            f"clr needs {name} that fits {kind}, got {name}={short_repr(value)}{hint}."
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


def logarithm(gamma: Any) -> ArrayLike:
    """Returns the logarithm, taken with 53 bits unless JAX holds the number."""
    if isinstance(gamma, np.ndarray | np.generic):
        exact: NDArray[np.float64] = np.log(gamma.astype(np.float64))
        return exact if gamma.dtype == np.float64 else exact.astype(np.float32)
    if isinstance(gamma, Array):
        traced: Array = _log_of_array(gamma)
        return traced
    if gamma <= 0:
        raise ValueError(f"clr needs gamma above 0, got gamma={gamma!r}.")
    return math.log(gamma)


@jax.jit
def _log_of_array(gamma: Array) -> Array:
    return jnp.log(gamma.astype(float_type(gamma)))

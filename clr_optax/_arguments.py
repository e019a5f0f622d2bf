"""What the arguments of a schedule may be, and as what a schedule keeps them."""

import pkgutil
from numbers import Real
from typing import Any, TypedDict

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike
from numpy.typing import NDArray

from clr_optax._core import (
    Anneal,
    Mode,
    ScaleFn,
    ScaleMode,
    float_type,
    is_single,
    short_repr,
    whole_mult,
    word_of,
)

# One number is kept as a float or an int, and was checked; arrays and tracers were not
Number = float | Array | NDArray[Any]

_HINTS: dict[type, str] = {
    bool: "write 0 or 1",
    str: "leave out the quotes, or in YAML write 1.0e-3 for 1e-3",
    type(None): "give it a number",
    complex: "take its real part",
    list: "build one schedule for each group of optax.multi_transform",
    tuple: "build one schedule for each group of optax.multi_transform",
}


class Cycle(TypedDict):
    """The arguments that both factories share, and that `clr` takes by these names."""

    step_size: Number
    step_size_down: Number | None
    cycle_mult: int
    mode: Mode
    gamma: Number
    scale_fn: ScaleFn | None
    scale_mode: ScaleMode
    anneal: Anneal


def bounds(
    function: str, what: str, base: ArrayLike, top: ArrayLike
) -> tuple[Number, Number]:
    """Returns the bounds of what cycles, "lr" or "momentum", the lower first."""
    low = _real(function, f"base_{what}", base)
    high = _real(function, f"max_{what}", top)
    if isinstance(low, float) and low < 0:
        raise ValueError(
            f"{function} needs base_{what} >= 0, got base_{what}={low}, "
            "leave the sign to the optimizer."
        )
    if isinstance(low, float) and isinstance(high, float) and low > high:
        raise ValueError(
            f"{function} needs base_{what} <= max_{what}, got base_{what}={low}, "
            f"max_{what}={high}, swap them; momentum_schedule starts high and dips."
        )
    return low, high


def cycle_arguments(
    function: str,
    step_size: ArrayLike,
    step_size_down: ArrayLike | None,
    cycle_mult: int | np.integer[Any],
    mode: Mode,
    gamma: ArrayLike,
    scale_fn: ScaleFn | str | None,
    scale_mode: ScaleMode,
    anneal: Anneal,
) -> Cycle:
    """Returns the arguments of a cycle; step_size_down is None if like step_size."""
    mode = word_of(function, "mode", mode, Mode)
    scale_mode = word_of(function, "scale_mode", scale_mode, ScaleMode)
    anneal = word_of(function, "anneal", anneal, Anneal)
    if isinstance(scale_fn, str):
        scale_fn = _imported(function, scale_fn)
    if scale_fn is not None and not callable(scale_fn):
        raise TypeError(
            f"{function} needs scale_fn as a function, got "
            f"scale_fn={short_repr(scale_fn)}, such as lambda cycle: 1 / cycle."
        )
    if scale_fn is not None and mode != "triangular":
        raise ValueError(
            f"{function} needs only one of mode and scale_fn, got mode={mode!r}, "
            f"scale_fn={short_repr(scale_fn)}, leave one out."
        )
    if scale_fn is None and mode != "exp_range" and scale_mode == "iterations":
        raise ValueError(
            f"{function} needs scale_fn with scale_mode='iterations', "
            f"got scale_mode='iterations', mode={mode!r}, modes choose by themselves."
        )
    up = _size(function, "step_size", step_size)
    down = None
    if step_size_down is not None:
        down = _size(function, "step_size_down", step_size_down)
    if isinstance(up, int | float) and isinstance(down, int | float) and up == down:
        down = None
    return {
        "step_size": up,
        "step_size_down": down,
        "cycle_mult": whole_mult(function, _real(function, "cycle_mult", cycle_mult)),
        "mode": mode,
        "gamma": _gamma(function, mode, gamma),
        "scale_fn": scale_fn,
        "scale_mode": scale_mode,
        "anneal": anneal,
    }


def _size(function: str, name: str, value: ArrayLike) -> Number:
    """Returns a number of steps as an int, or as a float64 if it asks for that."""
    size = _real(function, name, value)
    if not isinstance(size, float):
        return size
    if not 1 <= size < 2**31 or size != int(size):
        raise ValueError(
            f"{function} needs a whole {name} from 1 to 2**31 - 1 (steps in half a "
            f"cycle), got {name}={short_repr(value)}, multiply epochs by the steps in "
            "an epoch and round."
        )
    return size if isinstance(size, np.float64) else int(size)


def _gamma(function: str, mode: Mode, gamma: ArrayLike) -> Number:
    """Returns gamma, which is 1 in all modes but one."""
    factor = _real(function, "gamma", gamma)
    if isinstance(factor, float) and not 0 < factor <= 1:
        raise ValueError(
            f"{function} needs 0 < gamma <= 1, got gamma={factor}, "
            "the amplitude is multiplied by it at every step."
        )
    if mode != "exp_range" and not (isinstance(factor, float) and factor == 1):
        raise ValueError(
            f"{function} needs mode='exp_range' with gamma, "
            f"got gamma={short_repr(factor)}, mode={mode!r}, no other mode reads it."
        )
    return factor


def _imported(function: str, name: str) -> ScaleFn:
    """Returns the function that a configuration names as "module:name"."""
    try:
        found: ScaleFn = pkgutil.resolve_name(name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(
            f"{function} needs scale_fn as a function or as 'module:name', "
            f"got scale_fn={short_repr(name)}, {error} (a mode's name goes to mode)."
        ) from error
    return found


def _real(function: str, name: str, value: object) -> Number:
    """Returns a finite real number as a float, or an array of such as it is.

    The float is Python's, or NumPy's if the number is float64 itself and x64 is on.
    """
    wide = float_type(value) is np.float64
    number: Any = value.item() if is_single(value) else value
    if isinstance(number, Array | np.ndarray) and _has_reals(number):
        return number
    real = isinstance(number, Real) and not isinstance(number, bool)
    if not real:
        hint = _HINTS.get(type(number), "convert it to float")
        raise TypeError(
            f"{function} needs {name} as a real number or an array of real numbers, "
            f"got {name}={short_repr(number)}, {hint}."
        )
    if not abs(number) < 3.4e38:  # where float32 ends
        raise ValueError(
            f"{function} needs a finite {name}, got {name}={short_repr(number)}, "
            "look at what computed it."
        )
    kind: Any = np.float64 if wide else float
    found: float = kind(number)
    return found


def _has_reals(array: Array | NDArray[Any]) -> bool:
    """Returns whether an array's numbers are integers or floats of any width."""
    return jnp.issubdtype(array.dtype, jnp.number) and jnp.isrealobj(array)

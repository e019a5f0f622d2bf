"""What the schedules accept, and what they say to the rest."""

from collections.abc import Callable
from typing import Any

import numpy as np

from clr_optax._core import Anneal, Mode, ScaleMode, check_word, refusal
from clr_optax._names import function_named
from clr_optax._number import as_float, is_array, real_number


def ends(
    function: str, *, limit: float, below: str, above: str, swapped: str, **named: Any
) -> dict[str, Any]:
    """Returns the lower and the upper end of a cycle by name, as floats or arrays.

    They lie from 0 to less than the limit; the other arguments say why.
    """
    named = {
        name: _end(function, name, value, limit, below, above)
        for name, value in named.items()
    }
    low, high = named.values()
    if not (is_array(low) or is_array(high)) and low > high:
        raise ValueError(refusal(function, " <= ".join(named), swapped, **named))
    return named


def halves(function: str, step_size: Any, step_size_down: Any) -> dict[str, Any]:
    """Returns both halves of a cycle by name, the second None if like the first."""
    up = down = _size(function, "step_size", step_size)
    if step_size_down is not None:
        down = _size(function, "step_size_down", step_size_down)
    sizes = {"step_size": up, "step_size_down": down}
    if is_array(up) or is_array(down):
        same = up is down
    else:
        same = up == down
        if up + down >= 2**31:
            raise ValueError(
                refusal(
                    function,
                    "step_size + step_size_down < 2**31 (steps in a cycle)",
                    "Optax counts in int32",
                    **sizes,
                )
            )
    return sizes | {"step_size_down": None if same else down}


def mode_arguments(
    function: str,
    mode: Mode,
    gamma: Any,
    scale_fn: Callable[..., Any] | str | None,
    scale_mode: ScaleMode,
    anneal: Anneal,
) -> dict[str, Any]:
    """Returns the five by name, gamma as a float and scale_fn as a function."""
    for name, value, words in (
        ("mode", mode, Mode),
        ("scale_mode", scale_mode, ScaleMode),
        ("anneal", anneal, Anneal),
    ):
        check_word(function, name, value, words)
    scale_fn = function_named(function, scale_fn)
    _check_scale(function, mode, scale_fn, scale_mode)
    gamma = _gamma(function, gamma)
    if mode != "exp_range" and (is_array(gamma) or gamma != 1):
        raise ValueError(
            refusal(
                function,
                "mode='exp_range' with gamma",
                "no other mode reads it",
                gamma=gamma,
                mode=mode,
            )
        )
    return {
        "mode": mode,
        "gamma": gamma,
        "scale_fn": scale_fn,
        "scale_mode": scale_mode,
        "anneal": anneal,
    }


def _end(
    function: str, name: str, value: Any, limit: float, below: str, above: str
) -> Any:
    """Returns one end of a cycle as a float, or an array as it is."""
    value = real_number(function, name, value)
    if is_array(value):
        return value
    if value < 0:
        raise ValueError(refusal(function, f"{name} >= 0", below, **{name: value}))
    if value >= limit:
        raise ValueError(
            refusal(function, f"{name} < {limit:g}", above, **{name: value})
        )
    return as_float(value)


def _check_scale(function: str, mode: str, scale_fn: Any, scale_mode: str) -> None:
    """Raises ValueError for a mode beside a scale_fn, or beside a scale_mode."""
    if scale_fn is not None and mode != "triangular":
        raise ValueError(
            refusal(
                function,
                "only one of mode and scale_fn",
                "leave one out",
                mode=mode,
                scale_fn=scale_fn,
            )
        )
    if scale_fn is None and mode != "exp_range" and scale_mode == "iterations":
        raise ValueError(
            refusal(
                function,
                "scale_fn with scale_mode='iterations'",
                "modes choose by themselves",
                scale_mode=scale_mode,
                mode=mode,
            )
        )


def _gamma(function: str, gamma: Any) -> Any:
    """Returns gamma as a float, or an array as it is."""
    gamma = real_number(function, "gamma", gamma)
    if is_array(gamma):
        return gamma
    if gamma > 1:
        raise ValueError(
            refusal(
                function,
                "0 < gamma <= 1",
                "the amplitude, times gamma at every step, would grow without bound",
                gamma=gamma,
            )
        )
    if float(gamma) <= 0:
        raise ValueError(
            refusal(
                function,
                "0 < gamma <= 1",
                "the amplitude, times gamma at every step, would vanish "
                "or change its sign",
                gamma=float(gamma),
            )
        )
    return as_float(gamma)


def _size(function: str, name: str, value: Any) -> Any:
    """Returns a number of steps as an int, or an array as it is."""
    value = real_number(function, name, value)
    if is_array(value):
        return value
    if value < 1:
        raise ValueError(
            refusal(
                function,
                f"{name} >= 1 (steps in half a cycle)",
                "multiply epochs by the steps in an epoch",
                **{name: value},
            )
        )
    if value != int(value):
        raise ValueError(
            refusal(
                function,
                f"a whole {name} (steps in half a cycle)",
                "round it",
                **{name: value},
            )
        )
    return value if isinstance(value, np.float64) else int(value)

"""What the schedules accept, and what they say to the rest."""

from collections.abc import Callable
from numbers import Real
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from clr_optax._core import (
    Anneal,
    Mode,
    ScaleMode,
    check_word,
    float_type,
    is_single,
    refusal,
)
from clr_optax._names import function_named

_HINTS: dict[type, str] = {
    bool: "write 0 or 1",
    str: "leave out the quotes or convert it with float",
    type(None): "give it a number",
    complex: "take its real part",
    list: "wrap it in jax.numpy.array",
    tuple: "wrap it in jax.numpy.array",
}


def is_array(value: object) -> bool:
    """Returns whether a value passes unchecked: an array with axes, or a tracer."""
    return isinstance(value, jax.Array | np.ndarray) and not is_single(value)


def ends(
    function: str, *, limit: float, below: str, above: str, swapped: str, **named: Any
) -> dict[str, Any]:
    """Returns the lower and the upper end of a cycle by name, as floats or arrays.

    They lie from 0 to less than the limit; the other arguments say why.
    """
    for name, value in named.items():
        value = _number(function, name, value)
        got = {name: value}
        if not is_array(value):
            if value < 0:
                raise ValueError(refusal(function, f"{name} >= 0", below, **got))
            if value >= limit:
                rule = f"{name} < {limit:g}"
                raise ValueError(refusal(function, rule, above, **got))
            value = _float(value)
        named[name] = value
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
            rule = "step_size + step_size_down < 2**31 (steps in a cycle)"
            raise ValueError(refusal(function, rule, "Optax counts in int32", **sizes))
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
    if scale_fn is not None and mode != "triangular":
        rule, hint = "only one of mode and scale_fn", "leave one out"
        got = {"mode": mode, "scale_fn": scale_fn}
        raise ValueError(refusal(function, rule, hint, **got))
    if scale_fn is None and mode != "exp_range" and scale_mode == "iterations":
        rule, hint = (
            "scale_fn with scale_mode='iterations'",
            "modes choose by themselves",
        )
        got = {"scale_mode": scale_mode, "mode": mode}
        raise ValueError(refusal(function, rule, hint, **got))
    gamma = _gamma(function, gamma)
    if mode != "exp_range" and (is_array(gamma) or gamma != 1):
        rule, hint = "mode='exp_range' with gamma", "no other mode reads it"
        raise ValueError(refusal(function, rule, hint, gamma=gamma, mode=mode))
    return {
        "mode": mode,
        "gamma": gamma,
        "scale_fn": scale_fn,
        "scale_mode": scale_mode,
        "anneal": anneal,
    }


def _gamma(function: str, gamma: Any) -> Any:
    """Returns gamma as a float, or an array as it is."""
    gamma = _number(function, "gamma", gamma)
    if is_array(gamma):
        return gamma
    rule, effect = "0 < gamma <= 1", "the amplitude, times gamma at every step, would"
    if gamma > 1:
        hint = f"{effect} grow without bound"
        raise ValueError(refusal(function, rule, hint, gamma=gamma))
    if float(gamma) <= 0:
        hint = f"{effect} vanish or change its sign"
        raise ValueError(refusal(function, rule, hint, gamma=float(gamma)))
    return _float(gamma)


def _size(function: str, name: str, value: Any) -> Any:
    """Returns a number of steps as an int, or an array as it is."""
    value = _number(function, name, value)
    if is_array(value):
        return value
    meaning = "(steps in half a cycle)"
    if value < 1:
        rule, hint = (
            f"{name} >= 1 {meaning}",
            "multiply epochs by the steps in an epoch",
        )
        raise ValueError(refusal(function, rule, hint, **{name: value}))
    if value != int(value):
        rule = f"a whole {name} {meaning}"
        raise ValueError(refusal(function, rule, "round it", **{name: value}))
    return value if isinstance(value, np.float64) else int(value)


def _float(value: Any) -> Any:
    """Returns a number as Python's float, or as NumPy's if it is one."""
    return value if isinstance(value, np.float64) else float(value)


def _number(function: str, name: str, value: Any) -> Any:
    """Returns a finite real number, or an array of real numbers unchecked.

    NumPy's and JAX's numbers become Python's, but for those that ask for float64.
    """
    if isinstance(value, jax.Array | np.ndarray):
        if not jnp.issubdtype(value.dtype, jnp.number) or jnp.iscomplexobj(value):
            rule = f"{name} as real numbers, not {value.dtype}"
            hint = "convert it with astype"
            raise TypeError(refusal(function, rule, hint, **{name: value}))
        if is_array(value):
            return value
    if is_single(value):
        wide = float_type(value) is np.float64
        value = np.float64(value.item()) if wide else value.item()
    if isinstance(value, bool) or not isinstance(value, Real):
        rule = f"{name} as a real number or an array"
        hint = _HINTS.get(type(value), "convert it with float")
        raise TypeError(refusal(function, rule, hint, **{name: value}))
    if value != value or abs(value) == float("inf"):
        rule, hint = f"a finite {name}", "look at what computed it"
        raise ValueError(refusal(function, rule, hint, **{name: value}))
    return value

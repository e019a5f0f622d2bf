"""What the schedules accept, and what they say to the rest."""

import math
import pkgutil
import reprlib
from numbers import Real
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from clr_core._clr import MODES, SCALE_MODES, misspelt

_LIMITS = {
    "clr_schedule": ("optimizers turn the sign.", 3.4e38, "float32 ends there."),
    "momentum_schedule": ("0 is none.", 1.0, "at 1 no gradient is ever forgotten."),
}
_SHORT = reprlib.Repr()
_SHORT.maxother = _SHORT.maxstring = 80
_HINTS: dict[type, str] = {
    bool: "write 0 or 1.",
    str: "leave out the quotes or convert it with float.",
    type(None): "give it a number.",
    complex: "take its real part.",
    list: "wrap it in jax.numpy.array.",
    tuple: "wrap it in jax.numpy.array.",
}


def is_array(value: object) -> bool:
    """Returns whether a value passes unchecked: an array or a tracer."""
    return isinstance(value, jax.Array | np.ndarray)


def ends(function: str, hint: str, **named: Any) -> list[Any]:
    """Returns the lower and the upper end of a cycle, as floats or arrays."""
    least, limit, most = _LIMITS[function]
    checked = []
    for name, value in named.items():
        value = _number(function, name, value)
        if not is_array(value):
            got = {name: value}
            _require(value >= 0, function, f"{name} >= 0", got, least)
            _require(value < limit, function, f"{name} < {limit:g}", got, most)
            value = float(value)
        checked.append(value)
    if not any(map(is_array, checked)):
        lower, upper = named
        got = dict(zip(named, checked, strict=True))
        _require(checked[0] <= checked[1], function, f"{lower} <= {upper}", got, hint)
    return checked


def cycle(function: str, step_size: Any, step_size_down: Any) -> dict[str, Any]:
    """Returns both halves by name, the second as None if it is like the first."""
    sizes = {"step_size": step_size, "step_size_down": step_size_down}
    if step_size_down is None:
        sizes["step_size_down"] = step_size
    for name, value in sizes.items():
        value = _number(function, name, value)
        if not is_array(value):
            got, meaning = {name: value}, "(steps in half a cycle)"
            hint = "multiply epochs by the steps in an epoch."
            _require(value >= 1, function, f"{name} >= 1 {meaning}", got, hint)
            whole = f"a whole {name} {meaning}"
            _require(value == int(value), function, whole, got, "round it.")
            sizes[name] = int(value)
    up, down = sizes.values()
    if not (is_array(up) or is_array(down)):
        rule = "step_size + step_size_down < 2**31 (steps in a cycle)"
        _require(up + down < 2**31, function, rule, sizes, "Optax counts in int32.")
        same = up == down
    else:
        same = up is down
    return sizes | {"step_size_down": None if same else down}


def shape(
    function: str, mode: Any, gamma: Any, scale_fn: Any, scale_mode: Any
) -> dict[str, Any]:
    """Returns the four by name, gamma as a float and scale_fn as a function."""
    for name, value, known in (
        ("mode", mode, MODES),
        ("scale_mode", scale_mode, SCALE_MODES),
    ):
        if not isinstance(value, str):
            raise _wrong_kind(function, name, value, "text", f"such as {known[0]!r}.")
        if value not in known:
            raise ValueError(misspelt(function, name, value, known))
    scale_fn = _function(function, scale_fn)
    got = {"mode": mode, "scale_fn": scale_fn}
    rule, hint = "only one of mode and scale_fn", "leave one out."
    _require(scale_fn is None or mode == "triangular", function, rule, got, hint)
    read = scale_mode == "cycle" or mode == "exp_range" or scale_fn is not None
    got = {"scale_mode": scale_mode, "mode": mode}
    rule, hint = "scale_fn with scale_mode='iterations'", "modes choose by themselves."
    _require(read, function, rule, got, hint)
    gamma = _number(function, "gamma", gamma)
    if not is_array(gamma):
        effect = "grow without bound" if gamma > 1 else "vanish or change its sign"
        hint = f"the amplitude, times gamma at every step, would {effect}."
        _require(gamma <= 1, function, "0 < gamma <= 1", {"gamma": gamma}, hint)
        gamma = float(gamma)
        _require(gamma > 0, function, "0 < gamma <= 1", {"gamma": gamma}, hint)
    read = mode == "exp_range" or (not is_array(gamma) and gamma == 1)
    got = {"gamma": gamma, "mode": mode}
    rule, hint = "mode='exp_range' with gamma", "no other mode reads it."
    _require(read, function, rule, got, hint)
    return {
        "mode": mode,
        "gamma": gamma,
        "scale_fn": scale_fn,
        "scale_mode": scale_mode,
    }


def path(function: str, scale_fn: Any) -> str:
    """Returns the name under which a function can be imported, "module:name"."""
    module, name = (getattr(scale_fn, x, "") for x in ("__module__", "__qualname__"))
    try:
        found = pkgutil.resolve_name(f"{module}:{name}")
    except (ImportError, AttributeError, ValueError):
        found = None
    if found is not scale_fn:
        hint = "define it with def at the top of a module."
        kind = "a function that can be imported, to be stored"
        raise _wrong_kind(function, "scale_fn", scale_fn, kind, hint)
    return f"{module}:{name}"


def _function(function: str, scale_fn: Any) -> Any:
    if isinstance(scale_fn, str):
        rule, got = "scale_fn as a function or as 'module:name'", {"scale_fn": scale_fn}
        hint = "the names of the modes go to mode."
        _require(":" in scale_fn, function, rule, got, hint)
        try:
            scale_fn = pkgutil.resolve_name(scale_fn)
        except (ImportError, AttributeError, ValueError) as error:
            rule = "scale_fn that can be imported"
            raise ValueError(_message(function, rule, got, f"{error}.")) from error
    if scale_fn is None or callable(scale_fn):
        return scale_fn
    hint = "such as lambda cycle: 1 / cycle."
    raise _wrong_kind(function, "scale_fn", scale_fn, "a function", hint)


def _number(function: str, name: str, value: Any) -> Any:
    """Returns a finite real number, or an array of real numbers unchecked."""
    if is_array(value):
        if not jnp.issubdtype(value.dtype, jnp.number) or jnp.iscomplexobj(value):
            kind = f"real numbers, not {value.dtype}"
            raise _wrong_kind(function, name, value, kind, "convert it with astype.")
        return value
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, Real):
        hint = _HINTS.get(type(value), "convert it with float.")
        raise _wrong_kind(function, name, value, "a real number or an array", hint)
    finite = value == value and abs(value) != math.inf
    hint = "look at what computed it."
    _require(finite, function, f"a finite {name}", {name: value}, hint)
    return value


def _require(
    met: bool, function: str, rule: str, got: dict[str, Any], hint: str
) -> None:
    if not met:
        raise ValueError(_message(function, rule, got, hint))


def _wrong_kind(
    function: str, name: str, value: object, kind: str, hint: str
) -> TypeError:
    return TypeError(_message(function, f"{name} as {kind}", {name: value}, hint))


def _message(function: str, rule: str, got: dict[str, Any], hint: str) -> str:
    shown = ", ".join(f"{name}={_SHORT.repr(value)}" for name, value in got.items())
    return f"{function} needs {rule}, got {shown}, {hint}"

"""What a range test is asked for: checked as far as it is known, made into arrays."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from clr_optax._core import SMALLEST, Spacing, check_word, refusal
from clr_optax._range.batches import arrays

MOST_STEPS = 1_000_000
_NAME = "lr_range_test"


def rates(min_lr: Any, max_lr: Any, num_steps: Any, spacing: Any) -> jax.Array:
    """Returns the rates, both ends exact."""
    check_whole("num_steps", num_steps, 2)
    check_word(_NAME, "spacing", spacing, Spacing)
    dtype = jnp.result_type(float)
    low, high = _rate("min_lr", min_lr), _rate("max_lr", max_lr)
    known = not isinstance(low, jax.core.Tracer) and not isinstance(
        high, jax.core.Tracer
    )
    lrs = _grid(np if known else jnp, low, high, int(num_steps), spacing).astype(dtype)
    if known and not (lrs[1:] > lrs[:-1]).all():
        rule = f"max_lr above min_lr by num_steps different {dtype.name} rates"
        got = {"min_lr": min_lr, "max_lr": max_lr, "num_steps": num_steps}
        raise ValueError(refusal(_NAME, rule, **got))
    return jnp.asarray(lrs)


def check_whole(name: str, value: Any, least: int) -> None:
    """Raises for what is not a whole number from the least to a million."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(refusal(_NAME, f"a whole {name}", **{name: value}))
    if not least <= value <= MOST_STEPS:
        rule = f"{name} from {least} to {MOST_STEPS}"
        raise ValueError(refusal(_NAME, rule, **{name: value}))


def check_factor(stop_factor: Any, dtype: Any) -> jax.Array | None:
    """Returns the factor of the stop rule as an array, or None as it is."""
    if stop_factor is None:
        return None
    real = isinstance(stop_factor, int | float | np.number)
    if not real or isinstance(stop_factor, bool | np.complexfloating):
        rule, hint = "a number as stop_factor", "None stops at no finite loss"
        raise TypeError(refusal(_NAME, rule, hint, stop_factor=stop_factor))
    if not 1 < stop_factor <= float(np.finfo(dtype).max):
        rule = "a finite stop_factor above 1, how often the best loss is too much"
        raise ValueError(refusal(_NAME, rule, stop_factor=stop_factor))
    return jnp.asarray(float(stop_factor), dtype)


def check_kinds(loss_fn: Any, optimizer: Any, key: Any, has_aux: Any) -> None:
    """Raises TypeError for what is not of the kind that it must be."""
    if isinstance(optimizer, optax.MultiSteps):
        hint = "pass accumulate=k, and the optimizer inside as a function of a schedule"
        raise TypeError(refusal(_NAME, "an optimizer for each update", hint))
    built = isinstance(optimizer, optax.GradientTransformation)
    hint = "pass optax.sgd itself, not optax.sgd(0.1)" if built else "such as optax.sgd"
    _check_function("loss_fn", loss_fn, "a function of params and batch")
    _check_function("optimizer", optimizer, f"a function of a schedule, {hint}")
    if not isinstance(has_aux, bool):
        raise TypeError(refusal(_NAME, "has_aux to be a bool", has_aux=has_aux))
    if key is None:
        return
    typed = isinstance(key, jax.Array) and jnp.issubdtype(
        key.dtype, jax.dtypes.prng_key
    )
    raw = isinstance(key, jax.Array) and key.dtype == jnp.uint32
    if not (typed or raw) or key.ndim != int(raw):
        hint = "make it by jax.random.key(0), and use jax.vmap for several"
        raise TypeError(refusal(_NAME, "one random key", hint, key=key))


def _check_function(name: str, value: Any, what: str) -> None:
    """Raises TypeError for what cannot be called or not be hashed."""
    if not callable(value):
        got = f"got {name} of type {type(value).__name__}"
        raise TypeError(refusal(_NAME, f"{name} to be {what}, {got}"))
    try:
        hash(value)
    except TypeError as error:
        hint = f"wrap it: lambda *args: {name}(*args)"
        rule = f"{name} to be hashable, to be compiled once, {error}"
        raise TypeError(refusal(_NAME, rule, hint)) from error


def check_params(params: Any) -> Any:
    """Returns the params as a pytree of real floating-point arrays."""
    if _is_nnx_module(params):
        rule = f"params apart from their module, got {type(params).__name__}"
        hint = "graph, params, rest = nnx.split(model, nnx.Param, ...), then state=rest"
        raise TypeError(refusal(_NAME, rule, hint))
    if any(callable(leaf) for leaf in jax.tree.leaves(params)):
        rule = "params to be a pytree of arrays, got functions in it"
        hint = "params, static = eqx.partition(model, eqx.is_inexact_array)"
        raise TypeError(refusal(_NAME, rule, hint))
    params = arrays("params", params)
    leaves = jax.tree_util.tree_leaves_with_path(params)
    if not leaves:
        raise ValueError(refusal(_NAME, "an array in params, got none"))
    for path, leaf in leaves:
        if not jnp.issubdtype(leaf.dtype, jnp.floating):
            got = f"got {leaf.dtype} at params{jax.tree_util.keystr(path)}"
            hint = "pass what is not trained as state="
            if jnp.issubdtype(leaf.dtype, jnp.complexfloating):
                hint = "train the real and the imaginary part"
            raise TypeError(refusal(_NAME, f"floating params, {got}", hint))
    return params


def _is_nnx_module(params: Any) -> bool:
    """Returns whether it is a module of Flax NNX, which is not imported for that."""
    return any(
        kind.__module__.startswith("flax.nnx") and kind.__name__ == "Module"
        for kind in type(params).__mro__
    )


def _grid(xp: Any, low: Any, high: Any, size: int, spacing: str) -> Any:
    """Returns the rates from low to high, by NumPy or by jax.numpy."""
    share = np.arange(size) / (size - 1)
    if spacing == "linear":
        lrs = (1 - share) * low + share * high
    else:
        lrs = xp.exp((1 - share) * xp.log(low) + share * xp.log(high)).clip(low, high)
    return xp.where(share == 0, low, xp.where(share == 1, high, lrs))


def _rate(name: str, value: Any) -> Any:
    """Returns a rate as a number, checked, or as it is if its value is not known."""
    kinds = (int, float, np.number, np.ndarray, jax.Array)
    array = np.asarray(value) if isinstance(value, kinds[:-1]) else value
    if (
        isinstance(value, bool)
        or not isinstance(value, kinds)
        or array.ndim
        or not _real(array.dtype)
    ):
        raise TypeError(refusal(_NAME, "one real number", **{name: value}))
    if isinstance(array, jax.core.Tracer):
        return array
    number = float(array)
    if not SMALLEST <= number <= float(np.finfo(jnp.result_type(float)).max):
        rule = f"a finite rate of {SMALLEST} or more"
        raise ValueError(refusal(_NAME, rule, **{name: value}))
    return number


def _real(dtype: Any) -> bool:
    """Returns whether it is a dtype of real numbers."""
    return any(jnp.issubdtype(dtype, kind) for kind in (jnp.floating, jnp.integer))

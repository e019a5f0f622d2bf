"""What a range test is asked for: checked as far as it is known."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from clr_optax._range.batches import arrays
from clr_optax._range.optimizer import ACCUMULATES
from clr_optax._range.words import needs

MOST_STEPS = 1_000_000


def check_whole(name: str, value: Any, least: int) -> int:
    """Returns a whole number from the least to a million as Python's."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(needs(f"a whole {name}", **{name: value}))
    if not least <= value <= MOST_STEPS:
        raise ValueError(needs(f"{name} from {least} to {MOST_STEPS}", **{name: value}))
    return int(value)


def check_length(length: int) -> None:
    """Raises ValueError for more batches than an int32 counts."""
    if length >= 2**31:
        rule = "num_steps times accumulate less than 2**31"
        raise ValueError(needs(rule, got=length))


def check_factor(stop_factor: Any, dtype: Any) -> jax.Array | None:
    """Returns the factor of the stop rule as an array, or None as it is."""
    if stop_factor is None:
        return None
    real = isinstance(stop_factor, int | float | np.number)
    if not real or isinstance(stop_factor, bool | np.complexfloating):
        raise TypeError(
            needs(
                "a number as stop_factor",
                "None stops at no finite loss",
                stop_factor=stop_factor,
            )
        )
    if not 1 < stop_factor <= float(np.finfo(dtype).max):
        raise ValueError(
            needs(
                "a finite stop_factor above 1",
                "it is how many times the best loss is too much",
                stop_factor=stop_factor,
            )
        )
    return jnp.asarray(float(stop_factor), dtype)


def check_kinds(loss_fn: Any, optimizer: Any, key: Any, has_aux: Any) -> None:
    """Raises TypeError for what is not of the kind that it must be."""
    if isinstance(optimizer, optax.MultiSteps):
        raise TypeError(ACCUMULATES)
    built = isinstance(optimizer, optax.GradientTransformation)
    example = (
        "pass optax.sgd itself, not optax.sgd(0.1)" if built else "such as optax.sgd"
    )
    _check_function("loss_fn", loss_fn, "a function of params and batch")
    _check_function("optimizer", optimizer, f"a function of a schedule, {example}")
    if not isinstance(has_aux, bool):
        raise TypeError(needs("has_aux to be a bool", has_aux=has_aux))
    if key is not None:
        _check_key(key)


def _check_key(key: Any) -> None:
    """Raises TypeError for what is not one random key, typed or raw."""
    typed = isinstance(key, jax.Array) and jnp.issubdtype(
        key.dtype, jax.dtypes.prng_key
    )
    raw = isinstance(key, jax.Array) and key.dtype == jnp.uint32
    shape = jax.random.PRNGKey(0).shape if raw else ()
    if not (typed or raw) or key.shape != shape:
        raise TypeError(
            needs(
                "one random key",
                "make it by jax.random.key(0), and use jax.vmap for several",
                got=f"{key.dtype} of shape {key.shape}"
                if isinstance(key, jax.Array)
                else f"key={key!r}",
            )
        )


def _check_function(name: str, value: Any, what: str) -> None:
    """Raises TypeError for what cannot be called or not be hashed."""
    if not callable(value):
        raise TypeError(
            needs(f"{name} to be {what}", got=f"{name} of type {type(value).__name__}")
        )
    try:
        hash(value)
    except TypeError as error:
        raise TypeError(
            needs(
                f"{name} to be hashable, to be compiled once, {error}",
                f"wrap it: lambda *args: {name}(*args)",
            )
        ) from error


def check_params(params: Any) -> Any:
    """Returns the params as a pytree of real floating-point arrays."""
    for part in jax.tree.leaves(params, is_leaf=_is_nnx_more):
        if _is_nnx_more(part):
            raise TypeError(
                needs(
                    "params apart from their module",
                    "graph, params, rest = nnx.split(model, nnx.Param, ...), "
                    "then state=rest",
                    got=type(part).__name__,
                )
            )
    if any(callable(leaf) for leaf in jax.tree.leaves(params)):
        raise TypeError(
            needs(
                "params to be a pytree of arrays",
                "params, static = eqx.partition(model, eqx.is_inexact_array)",
                got="functions in it",
            )
        )
    params = arrays("params", params)
    leaves = jax.tree_util.tree_leaves_with_path(params)
    if not leaves:
        raise ValueError(needs("an array in params", got="none"))
    for path, leaf in leaves:
        if not jnp.issubdtype(leaf.dtype, jnp.floating):
            raise TypeError(
                needs(
                    "floating params",
                    "train the real and the imaginary part"
                    if jnp.iscomplexobj(leaf)
                    else "pass what is not trained as state=",
                    got=f"{leaf.dtype} at params{jax.tree_util.keystr(path)}",
                )
            )
    return params


def _is_nnx_more(part: Any) -> bool:
    """Returns whether it is a module or a statistic of Flax NNX, not imported here."""
    return any(
        kind.__module__.startswith("flax.nnx")
        and kind.__name__ in ("Module", "BatchStat")
        for kind in type(part).__mro__
    )

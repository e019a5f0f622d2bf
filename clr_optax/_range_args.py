"""What a range test is asked for: checked as far as it is known, made into arrays."""

import difflib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from clr_core._curve import SMALLEST

SPACINGS = ("exponential", "linear")
MOST_STEPS = 1_000_000


def rates(min_lr: Any, max_lr: Any, num_steps: Any, spacing: Any) -> jax.Array:
    if isinstance(num_steps, bool) or not isinstance(num_steps, int | np.integer):
        raise TypeError(f"lr_range_test needs a whole num_steps, got {num_steps=}.")
    if not 2 <= num_steps <= MOST_STEPS:
        got = f"got num_steps={num_steps}"
        raise ValueError(
            f"lr_range_test needs num_steps from 2 to {MOST_STEPS}, {got}."
        )
    if not isinstance(spacing, str):
        raise TypeError(f"lr_range_test needs the name of a spacing, got {spacing=}.")
    if spacing not in SPACINGS:
        near = difflib.get_close_matches(spacing, SPACINGS, n=1) or SPACINGS
        hint = f"did you mean {' or '.join(map(repr, near))}?"
        raise ValueError(f"lr_range_test needs a known spacing, got {spacing=}, {hint}")
    dtype = jnp.result_type(float)
    low, high = _rate("min_lr", min_lr), _rate("max_lr", max_lr)
    known = not isinstance(low, jax.core.Tracer) and not isinstance(
        high, jax.core.Tracer
    )
    lrs = _grid(np if known else jnp, low, high, int(num_steps), spacing).astype(dtype)
    if known and not (lrs[1:] > lrs[:-1]).all():
        rule = f"max_lr above min_lr by num_steps different {dtype.name} rates"
        got = f"got min_lr={min_lr}, max_lr={max_lr}, num_steps={num_steps}"
        raise ValueError(f"lr_range_test needs {rule}, {got}.")
    return jnp.asarray(lrs)


def _grid(xp: Any, low: Any, high: Any, size: int, spacing: str) -> Any:
    share = np.arange(size) / (size - 1)
    if spacing == "linear":
        lrs = (1 - share) * low + share * high
    else:
        lrs = xp.exp((1 - share) * xp.log(low) + share * xp.log(high)).clip(low, high)
    return xp.where(share == 0, low, xp.where(share == 1, high, lrs))


def _rate(name: str, value: Any) -> Any:
    """A rate as a number, checked, or as it is if its value is not known."""
    kinds = (int, float, np.number, np.ndarray, jax.Array)
    array = np.asarray(value) if isinstance(value, kinds[:-1]) else value
    if (
        isinstance(value, bool)
        or not isinstance(value, kinds)
        or array.ndim
        or not _real(array.dtype)
    ):
        raise TypeError(f"lr_range_test needs one real number, got {name}={value!r}.")
    if isinstance(array, jax.core.Tracer):
        return array
    number = float(array)
    if not SMALLEST <= number <= float(np.finfo(jnp.result_type(float)).max):
        rule = f"a finite rate of {SMALLEST} or more"
        raise ValueError(f"lr_range_test needs {rule}, got {name}={value}.")
    return number


def _real(dtype: Any) -> bool:
    return any(jnp.issubdtype(dtype, kind) for kind in (jnp.floating, jnp.integer))


def check_kinds(loss_fn: Any, optimizer: Any, key: Any, has_aux: Any) -> None:
    built = isinstance(optimizer, optax.GradientTransformation)
    hint = "pass optax.sgd itself, not optax.sgd(0.1)" if built else "such as optax.sgd"
    for name, value, what in (
        ("loss_fn", loss_fn, "a function of params and batch"),
        ("optimizer", optimizer, f"a function of a schedule, {hint}"),
    ):
        if not callable(value):
            got = f"got {name} of type {type(value).__name__}"
            raise TypeError(f"lr_range_test needs {name} to be {what}, {got}.")
        try:
            hash(value)
        except TypeError as error:
            hint = f"wrap it: lambda *args: {name}(*args)"
            rule = f"{name} to be hashable, to be compiled once"
            raise TypeError(f"lr_range_test needs {rule}, {error}, {hint}.") from error
    if not isinstance(has_aux, bool):
        raise TypeError(f"lr_range_test needs has_aux to be a bool, got {has_aux=}.")
    if key is None:
        return
    typed = isinstance(key, jax.Array) and jnp.issubdtype(
        key.dtype, jax.dtypes.prng_key
    )
    raw = isinstance(key, jax.Array) and key.dtype == jnp.uint32
    if not (typed or raw) or key.ndim != int(raw):
        hint = "make it by jax.random.key(0), and use jax.vmap for several"
        raise TypeError(f"lr_range_test needs one random key, got {key=}, {hint}.")


def _array(leaf: Any) -> jax.Array:
    """The leaf as an array of its own dtype, which a step will not change."""
    if isinstance(leaf, str | bytes):
        raise TypeError(f"{leaf!r} is a {type(leaf).__name__}")
    return jnp.asarray(leaf, jnp.asarray(leaf).dtype)


def check_data(params: Any, batches: Any) -> tuple[Any, Any]:
    """Both as pytrees of arrays."""
    trees = []
    for name, tree in (("params", params), ("batches", batches)):
        try:
            with np.errstate(over="ignore"):
                trees.append(jax.tree.map(_array, tree))
        except (TypeError, ValueError, OverflowError) as error:
            rule = f"{name} to be a pytree of arrays"
            raise TypeError(f"lr_range_test needs {rule}, but {error}") from error
        if not jax.tree.leaves(tree):
            raise ValueError(f"lr_range_test needs an array in {name}, got none.")
    for path, leaf in jax.tree_util.tree_leaves_with_path(trees[0]):
        if not jnp.issubdtype(leaf.dtype, jnp.floating):
            got = f"got {leaf.dtype} at params{jax.tree_util.keystr(path)}"
            hint = "keep other state in the closure of loss_fn"
            raise TypeError(f"lr_range_test needs floating params, {got}, {hint}.")
    numbers = {leaf.shape[:1] for leaf in jax.tree.leaves(trees[1])}
    if len(numbers) != 1 or numbers & {(), (0,)}:
        rule = "batches with one leading axis, over one or more batches"
        got = f"got shapes {[leaf.shape for leaf in jax.tree.leaves(trees[1])]}"
        raise ValueError(f"lr_range_test needs {rule}, {got}.")
    return trees[0], trees[1]

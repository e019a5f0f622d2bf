"""What a range test is asked for: checked as far as it is known."""

from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from clr_optax._core import SMALLEST, short_repr, word_of
from clr_optax._types import PyTree

Spacing = Literal["exponential", "linear"]

MOST_STEPS = 1_000_000
MOST_BATCHES = 2**31 - 1  # an int32 counts them


def whole(function: str, name: str, value: object, least: int, most: int) -> int:
    """Returns a whole number of that range as Python's."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(
            f"{function} needs {name} as an int, got {name}={short_repr(value)}."
        )
    if not least <= value <= most:
        raise ValueError(
            f"{function} needs {name} from {least} to {most}, got {name}={value}."
        )
    return int(value)


def rates(
    function: str,
    min_lr: ArrayLike,
    max_lr: ArrayLike,
    num_steps: int | np.integer[Any],
    spacing: Spacing,
) -> jax.Array:
    """Returns the rates of a range test, both ends exact."""
    steps = whole(function, "num_steps", num_steps, 2, MOST_STEPS)
    spacing = word_of(function, "spacing", spacing, Spacing)
    low, high = _rate(function, "min_lr", min_lr), _rate(function, "max_lr", max_lr)
    known = isinstance(low, float) and isinstance(high, float)
    lrs = _grid(np if known else jnp, low, high, steps, spacing)
    lrs = lrs.astype(jnp.result_type(float))
    if known and not (lrs[1:] > lrs[:-1]).all():
        raise ValueError(
            f"{function} needs max_lr above min_lr by num_steps different {lrs.dtype} "
            f"rates, got min_lr={min_lr}, max_lr={max_lr}, num_steps={num_steps}."
        )
    return jnp.asarray(lrs)


def _grid(xp: Any, low: Any, high: Any, size: int, spacing: str) -> Any:
    """Returns the rates from low to high, by NumPy or by jax.numpy."""
    share = np.arange(size) / (size - 1)
    if spacing == "linear":
        lrs = (1 - share) * low + share * high
    else:
        lrs = xp.exp((1 - share) * xp.log(low) + share * xp.log(high))
    return xp.where(share == 0, low, xp.where(share == 1, high, lrs))


def _rate(function: str, name: str, value: ArrayLike) -> float | jax.Array:
    """Returns a rate as a float, or a tracer as it is."""
    rate = _number(function, name, value)
    most = float(np.finfo(jnp.result_type(float)).max)
    if isinstance(rate, float) and not SMALLEST <= rate <= most:
        raise ValueError(
            f"{function} needs a finite rate of {SMALLEST} or more, got {name}={value}."
        )
    return rate


def factor(
    function: str, stop_factor: ArrayLike | None, dtype: np.dtype[Any]
) -> jax.Array | None:
    """Returns the factor of the stop rule as an array, or None as it is."""
    if stop_factor is None:
        return None
    times = _number(function, "stop_factor", stop_factor)
    if isinstance(times, float) and not 1 < times <= float(np.finfo(dtype).max):
        raise ValueError(
            f"{function} needs a finite stop_factor above 1, got {stop_factor=}, "
            "it is how many times the best loss is too much (None: none is)."
        )
    return jnp.asarray(times, dtype)


def _number(function: str, name: str, value: object) -> float | jax.Array:
    """Returns one real number as a float, or a tracer as it is."""
    array: Any = value
    if isinstance(value, int | float | np.number | np.ndarray):
        array = np.asarray(value)
    if (
        isinstance(value, bool)
        or not isinstance(array, np.ndarray | jax.Array)
        or array.ndim
        or not jnp.issubdtype(array.dtype, jnp.number)
        or jnp.issubdtype(array.dtype, jnp.complexfloating)
    ):
        raise TypeError(
            f"{function} needs {name} to be one real number, "
            f"got {name}={short_repr(value)}."
        )
    return array if isinstance(array, jax.core.Tracer) else float(array)


def check_function(function: str, name: str, value: object, example: str) -> None:
    """Raises TypeError for what cannot be called or not be hashed."""
    if not callable(value):
        raise TypeError(
            f"{function} needs {name} to be a function {example}, "
            f"got {name} of type {type(value).__name__}."
        )
    try:
        hash(value)
    except TypeError as error:
        raise TypeError(
            f"{function} needs {name} to be hashable, to be compiled once, {error}, "
            f"wrap it: lambda *args: {name}(*args)."
        ) from error


def keys_of(
    function: str, key: jax.Array | None
) -> tuple[list[jax.Array | None], bool]:
    """Returns the random key of each run, or None for one without, and if several."""
    if key is None:
        return [None], False
    try:
        typed = jnp.issubdtype(key.dtype, jax.dtypes.prng_key)
        several = key.ndim > (0 if typed else 1)  # a raw key is a vector of words
        keys: list[jax.Array | None] = list(key) if several else [key]
        jax.eval_shape(jax.random.fold_in, keys[0], 0)
    except (TypeError, ValueError, OverflowError, AttributeError, IndexError) as error:
        got = f"key={short_repr(key)}"
        if isinstance(key, jax.Array):
            got = f"{key.dtype} of shape {key.shape}"
        raise TypeError(
            f"{function} needs a random key, got {got}, make one by "
            "jax.random.key(0), and several by jax.random.split."
        ) from error
    return keys, several


def arrays(function: str, name: str, tree: PyTree) -> PyTree:
    """Returns a tree of arrays, of dtypes that a step will not change."""
    try:
        with np.errstate(over="ignore"):
            return jax.tree.map(_array, tree)
    except (TypeError, ValueError, OverflowError) as error:
        raise TypeError(
            f"{function} needs {name} to be a pytree of arrays, but {error}."
        ) from error


def _array(leaf: Any) -> jax.Array:
    """Returns a leaf as an array whose dtype is not weak."""
    if isinstance(leaf, str | bytes):  # JAX takes some for the name of a dtype
        raise TypeError(f"{leaf!r} is a {type(leaf).__name__}")
    array = jnp.asarray(leaf)
    return jnp.asarray(array, array.dtype)


def parameters(function: str, params: PyTree, key: jax.Array | None) -> PyTree:
    """Returns the params, made of the key if need be, as real floating arrays."""
    if callable(params) and jax.tree_util.all_leaves([params]):
        if key is None or _is_nnx_more(params):
            raise TypeError(
                f"{function} needs a key for a function as params, or params as a "
                f"pytree of arrays, got {type(params).__name__}."
            )
        params = params(key)
    for part in jax.tree.leaves(params, is_leaf=_is_nnx_more):
        if callable(part) or _is_nnx_more(part):
            raise TypeError(
                f"{function} needs params to be a pytree of arrays to train, got "
                f"{type(part).__name__}, nnx.split(model, nnx.Param, ...) and "
                "state=rest, or eqx.partition(model, eqx.is_inexact_array), part them."
            )
    params = arrays(function, "params", params)
    leaves = jax.tree_util.tree_leaves_with_path(params)
    if not leaves:
        raise ValueError(f"{function} needs an array in params, got none.")
    for path, leaf in leaves:
        if not jnp.issubdtype(leaf.dtype, jnp.floating):
            raise TypeError(
                f"{function} needs floating params, got {leaf.dtype} at "
                f"params{jax.tree_util.keystr(path)}, pass what is not trained as "
                "state=, or both parts of what is complex."
            )
    return params


def _is_nnx_more(part: object) -> bool:
    """Returns whether it is a module or a statistic of Flax NNX, not imported here."""
    return any(
        kind.__module__.startswith("flax.nnx")
        and kind.__name__ in ("Module", "BatchStat")
        for kind in type(part).__mro__
    )

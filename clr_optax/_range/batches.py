"""What batches may be: stacked arrays, nothing at all, or anything that iterates."""

from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from clr_optax._range.stream import Stream
from clr_optax._range.words import needs

_WAYS = (
    "give one batch x as x[None], a data set as (num_batches, batch_size, ...), "
    "and anything else as a list or another iterable of batches"
)


def source(batches: Any, wanted: int) -> Any:
    """Returns a ``Stream``, or a pytree of stacked arrays, or None as it is."""
    if batches is None:
        return None
    if isinstance(batches, Iterator):
        return Stream(batches)
    if isinstance(batches, list):
        _check_alike(batches)
        return Stream(batches)
    if _is_stacked(batches):
        stacked = arrays("batches", batches)
        _check_stacked(stacked, wanted)
        return stacked
    if isinstance(batches, str | bytes | Mapping) or not _iterates(batches):
        raise TypeError(
            needs(
                "batches as arrays or as an iterable",
                "call it to get its batches" if callable(batches) else _WAYS,
                got=f"batches of type {type(batches).__name__}",
            )
        )
    return Stream(batches)


def arrays(name: str, tree: Any) -> Any:
    """Returns a tree of arrays, of dtypes that a step will not change."""
    try:
        with np.errstate(over="ignore"):
            return jax.tree.map(_array, tree)
    except (TypeError, ValueError, OverflowError) as error:
        raise TypeError(
            needs(f"{name} to be a pytree of arrays, but {error}")
        ) from error


def _array(leaf: Any) -> jax.Array:
    """Returns a leaf as an array whose dtype is not weak."""
    if isinstance(leaf, str | bytes):
        raise TypeError(f"{leaf!r} is a {type(leaf).__name__}")
    array = jnp.asarray(leaf)
    return jnp.asarray(array, array.dtype)


def _iterates(batches: Any) -> bool:
    """Returns whether iter takes it, which is not called: a loader may draw numbers."""
    return any(hasattr(type(batches), name) for name in ("__iter__", "__getitem__"))


def _is_stacked(batches: Any) -> bool:
    """Returns whether all leaves are arrays, or numbers, which are refused later."""
    leaves = jax.tree.leaves(batches, is_leaf=lambda x: isinstance(x, Iterator))
    kinds = (jax.Array, np.ndarray, np.generic, int, float, complex)
    return bool(leaves) and all(
        isinstance(leaf, kinds) or hasattr(leaf, "__array__") for leaf in leaves
    )


def _check_alike(batches: list[Any]) -> None:
    """Raises ValueError for a list that is not one of batches of one kind."""
    known: Any = None
    for batch in batches:
        leaves, tree = jax.tree.flatten(batch)
        shapes = [tuple(np.shape(leaf)) for leaf in leaves]
        form = tree, [(len(shape), shape[1:]) for shape in shapes]
        if known is None:
            known, first = form, shapes
        elif form != known:
            raise ValueError(
                needs(
                    "a list of batches that are alike but for their size",
                    "put the arrays of a batch into a tuple, "
                    "and the tuples into a list",
                    got=f"arrays of shapes {first} and then {shapes}",
                )
            )


def _check_stacked(batches: Any, wanted: int) -> None:
    """Raises ValueError for arrays that may be one batch or a whole data set."""
    shapes = [leaf.shape for leaf in jax.tree.leaves(batches)]
    numbers = {shape[:1] for shape in shapes}
    if len(numbers) != 1 or numbers & {(), (0,)}:
        raise ValueError(
            needs(
                "batches with one leading axis, over one or more batches",
                got=f"shapes {shapes}",
            )
        )
    number = shapes[0][0]
    # one batch looks so; rows of indices are integers in a single array
    indices = [leaf.dtype.kind in "iu" for leaf in jax.tree.leaves(batches)] == [True]
    flat = all(len(shape) == 2 for shape in shapes) and not indices
    sizes = {shape[1:2] for shape in shapes}
    if number > 1 and (len(sizes) != 1 or () in sizes or flat):
        raise ValueError(
            needs(
                "stacked batches, of shapes (num_batches, batch_size, ...)",
                _WAYS,
                got=f"shapes {shapes}",
            )
        )
    if number > wanted and len(set(shapes)) == 1:
        raise ValueError(
            needs(
                f"no more stacked batches than the {wanted} that it takes",
                f"pass the first {wanted} if these are batches, or stack the data set",
                got=f"shapes {shapes}",
            )
        )

"""Batches that come one by one, each as arrays that JAX takes."""

import itertools
from collections.abc import Iterable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from clr_optax._range.words import needs


class Stream(Iterator[Any]):
    """The batches of an iterable, which starts again where it can be.

    Attributes:
        taken: how many batches came.
    """

    def __init__(self, batches: Iterable[Any]):
        self._batches = batches
        self._iterator = iter(batches)
        self._once = self._iterator is batches
        self._waiting: list[Any] = []
        self.taken = 0

    def first(self) -> Any:
        """Returns the first batch, which will come again, or None without one."""
        self._waiting = list(itertools.islice(self, 1))
        for batch in self._waiting:
            _check_batched(batch)
        return self._waiting[0] if self._waiting else None

    def __next__(self) -> Any:
        """Returns the next batch, from the start again where that can be."""
        if self._waiting:
            return self._waiting.pop()
        try:
            batch = next(self._iterator)
        except StopIteration:
            if self._once or not self.taken:
                raise
            self._iterator = iter(self._batches)
            batch = next(self._iterator)
        self.taken += 1
        if all(map(_is_ready_made, jax.tree.leaves(batch))):
            return batch
        return jax.tree_util.tree_map_with_path(_part, batch)


def _check_batched(batch: Any) -> None:
    """Raises ValueError for vectors of several lengths, which single examples are."""
    shapes = [leaf.shape for leaf in jax.tree.leaves(batch)]
    if len(set(shapes)) > 1 and all(len(shape) == 1 for shape in shapes):
        raise ValueError(
            needs(
                "batches whose arrays have one axis over examples",
                "an iterable of single examples has to be batched first",
                got=f"vectors of shapes {shapes}",
            )
        )


def _is_ready_made(leaf: Any) -> bool:
    """Returns whether it is an array that needs neither a check nor a conversion."""
    if isinstance(leaf, np.ndarray):
        return leaf.ndim > 0 and leaf.dtype.kind in "biufc"
    return isinstance(leaf, jax.Array) and leaf.ndim > 0


def _part(path: Any, leaf: Any) -> Any:
    """Returns an array of a batch as JAX takes it, from whatever library it is."""
    place = f"batch{jax.tree_util.keystr(path)}"
    array = leaf if isinstance(leaf, jax.Array | np.ndarray) else _foreign(place, leaf)
    if not array.ndim:
        raise ValueError(
            needs(
                "batches whose arrays have an axis over examples",
                "leave it out of the batch, or batch single examples first",
                got=f"one number at {place}",
            )
        )
    if isinstance(array, np.ndarray) and not _numeric(array.dtype):
        raise TypeError(
            needs(
                "batches of numbers",
                "leave it out of the batch",
                got=f"dtype {array.dtype} at {place}",
            )
        )
    return array


def _foreign(place: str, leaf: Any) -> Any:
    """Returns a number or another library's array as NumPy's."""
    try:
        if isinstance(leaf, int | float | np.generic) or hasattr(leaf, "__array__"):
            return np.asarray(leaf)
        reason = ""
    except (TypeError, ValueError, RuntimeError) as error:
        reason = f" ({error})"
    raise TypeError(
        needs(
            "batches of arrays",
            "convert each batch in a generator: (convert(batch) for batch in loader)",
            got=f"{type(leaf).__name__} at {place}{reason}",
        )
    )


def _numeric(dtype: Any) -> bool:
    return jnp.issubdtype(dtype, jnp.bool) or jnp.issubdtype(dtype, jnp.number)

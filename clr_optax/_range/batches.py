"""What batches may be: stacked arrays, nothing at all, or anything that iterates."""

import itertools
from collections.abc import Iterable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from clr_optax._core import refusal

_NAME = "lr_range_test"
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
    if isinstance(batches, str | bytes) or not _iterates(batches):
        got = f"got batches of type {type(batches).__name__}"
        hint = "call it to get its batches" if callable(batches) else _WAYS
        rule = "batches as arrays or as an iterable"
        raise TypeError(refusal(_NAME, f"{rule}, {got}", hint))
    return Stream(batches)


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
        return self._waiting[0] if self._waiting else None

    def __next__(self) -> Any:
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


def arrays(name: str, tree: Any) -> Any:
    """Returns a tree of arrays, of dtypes that a step will not change."""
    try:
        with np.errstate(over="ignore"):
            return jax.tree.map(_array, tree)
    except (TypeError, ValueError, OverflowError) as error:
        rule = f"{name} to be a pytree of arrays, but {error}"
        raise TypeError(refusal(_NAME, rule)) from error


def _array(leaf: Any) -> jax.Array:
    if isinstance(leaf, str | bytes):
        raise TypeError(f"{leaf!r} is a {type(leaf).__name__}")
    array = jnp.asarray(leaf)
    return jnp.asarray(array, array.dtype)


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
        got = f"got one number at {place}"
        hint = "an iterable of single examples has to be batched first"
        rule = "batches whose arrays have an axis over examples"
        raise ValueError(refusal(_NAME, f"{rule}, {got}", hint))
    if isinstance(array, np.ndarray) and not _numeric(array.dtype):
        got = f"got dtype {array.dtype} at {place}"
        raise TypeError(
            refusal(_NAME, f"batches of numbers, {got}", "leave it out of the batch")
        )
    return array


def _foreign(place: str, leaf: Any) -> Any:
    """Returns a number or another library's array as NumPy's."""
    try:
        if isinstance(leaf, int | float | np.generic) or hasattr(leaf, "__array__"):
            return np.asarray(leaf)
        error = ""
    except (TypeError, ValueError, RuntimeError) as problem:
        error = f" ({problem})"
    got = f"got {type(leaf).__name__} at {place}{error}"
    hint = "convert each batch in a generator: (convert(batch) for batch in loader)"
    raise TypeError(refusal(_NAME, f"batches of arrays, {got}", hint))


def _numeric(dtype: Any) -> bool:
    return jnp.issubdtype(dtype, jnp.bool) or jnp.issubdtype(dtype, jnp.number)


def _iterates(batches: Any) -> bool:
    """Returns whether iter takes it, which no isinstance tells of all."""
    try:
        iter(batches)
    except TypeError:
        return False
    return True


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
            rule = "a list of batches that are alike but for their size"
            got = f"got arrays of shapes {first} and then {shapes}"
            hint = "put the arrays of a batch into a tuple, and the tuples into a list"
            raise ValueError(refusal(_NAME, f"{rule}, {got}", hint))


def _check_stacked(batches: Any, wanted: int) -> None:
    """Raises ValueError for arrays that may be one batch or a whole data set."""
    shapes = [leaf.shape for leaf in jax.tree.leaves(batches)]
    got = f"got shapes {shapes}"
    numbers = {shape[:1] for shape in shapes}
    if len(numbers) != 1 or numbers & {(), (0,)}:
        rule = "batches with one leading axis, over one or more batches"
        raise ValueError(refusal(_NAME, f"{rule}, {got}"))
    number = shapes[0][0]
    vectors = all(
        len(leaf.shape) == 2 and jnp.issubdtype(leaf.dtype, jnp.inexact)
        for leaf in jax.tree.leaves(batches)
    )
    sizes = {shape[1:2] for shape in shapes}
    if number > 1 and (len(sizes) != 1 or () in sizes or vectors):
        rule = "stacked batches, of shapes (num_batches, batch_size, ...)"
        raise ValueError(refusal(_NAME, f"{rule}, {got}", _WAYS))
    if number > wanted and len(set(shapes)) == 1:
        rule = f"no more stacked batches than the {wanted} that it takes"
        hint = f"pass the first {wanted} if these are batches, or stack the data set"
        raise ValueError(refusal(_NAME, f"{rule}, {got}", hint))

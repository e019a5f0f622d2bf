"""What batches may be: stacked arrays, nothing at all, or anything that iterates."""

import itertools
from collections.abc import Iterable, Iterator, Mapping, MappingView
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from clr_optax._range.args import arrays
from clr_optax._types import Batch, Batches, PyTree


class Stream(Iterator[Batch]):
    """The batches of an iterable as JAX takes them; it starts again where it can.

    Attributes:
        taken: how many batches came.
    """

    def __init__(self, function: str, batches: Iterable[Batch]):
        self._function = function
        self._batches = batches
        self._iterator = iter(batches)
        self._waiting: list[Batch] = []
        self.taken = 0

    def first(self) -> Batch:
        """Returns the first batch, which will come again, or None without one."""
        self._waiting = list(itertools.islice(self, 1))
        for batch in self._waiting:
            _check_batched(self._function, batch)
        return self._waiting[0] if self._waiting else None

    def __next__(self) -> Batch:
        """Returns the next batch, from the start again where that can be."""
        if self._waiting:
            return self._waiting.pop()
        try:
            batch = next(self._iterator)
        except StopIteration:  # which comes again where there are no more
            self._iterator = iter(self._batches)
            batch = next(self._iterator)
        self.taken += 1
        if all(map(_is_ready_made, jax.tree.leaves(batch))):
            return batch
        return jax.tree_util.tree_map_with_path(self._array, batch)

    def _array(self, path: tuple[Any, ...], leaf: Any) -> jax.Array | NDArray[Any]:
        """Returns an array of a batch as JAX takes it, from whatever library it is."""
        array = leaf if isinstance(leaf, jax.Array) else np.asarray(leaf)
        if not array.ndim:
            raise ValueError(
                f"{self._function} needs batches of arrays with an axis over examples, "
                f"got {type(leaf).__name__} at batch{jax.tree_util.keystr(path)}, "
                "convert it or leave it out, or batch single examples first."
            )
        kinds = jnp.bool_, jnp.number, jax.dtypes.prng_key
        if not any(jnp.issubdtype(array.dtype, kind) for kind in kinds):
            raise TypeError(
                f"{self._function} needs batches of arrays of numbers, got "
                f"{array.dtype} at batch{jax.tree_util.keystr(path)}, leave it out."
            )
        return array


def source(function: str, batches: Batches, wanted: int) -> Stream | PyTree:
    """Returns a ``Stream``, or a pytree of stacked arrays, or None as it is."""
    if batches is None:
        return None
    if isinstance(batches, Iterator):
        return Stream(function, batches)
    if isinstance(batches, list):
        _check_alike(function, batches)
        return Stream(function, batches)
    if _is_stacked(batches):
        stacked = arrays(function, "batches", batches)
        _check_stacked(function, stacked, wanted)
        return stacked
    if isinstance(batches, str | bytes | Mapping) or not iterates(batches):
        raise TypeError(
            f"{function} needs batches as arrays or as an iterable, "
            f"got batches of type {type(batches).__name__}, call a function to get its "
            "batches, and give anything else as a list of batches."
        )
    return Stream(function, batches)


def first(function: str, batches: Batches, count: int, most: int) -> Batches:
    """Returns batches for `count` steps, of a function whose longest run takes most."""
    if isinstance(batches, list) or not _is_stacked(batches):
        return batches
    stacked = arrays(function, "batches", batches)
    _check_stacked(function, stacked, most)
    return jax.tree.map(
        lambda leaf: leaf if len(leaf) <= count else leaf[:count], stacked
    )


def leaves_of(tree: PyTree) -> list[Any]:
    """Returns the leaves of a tree that may hold iterables, of which JAX warns."""
    iterables = Iterator, MappingView
    return jax.tree.leaves(tree, is_leaf=lambda part: isinstance(part, iterables))


def iterates(batches: object) -> bool:
    """Returns whether iter takes it, which is not called: a loader may draw numbers."""
    return any(hasattr(type(batches), name) for name in ("__iter__", "__getitem__"))


def is_array(leaf: object) -> bool:
    """Returns whether it is an array of any library, or a number."""
    kinds = (jax.Array, np.ndarray, np.generic, int, float, complex)
    return isinstance(leaf, kinds) or hasattr(leaf, "__array__")


def _is_stacked(batches: PyTree) -> bool:
    """Returns whether all leaves are arrays, or numbers, which are refused later."""
    leaves = leaves_of(batches)
    return bool(leaves) and all(map(is_array, leaves))


def _check_alike(function: str, batches: list[Batch]) -> None:
    """Raises ValueError for a list that is not one of batches of one kind."""
    forms = []
    for batch in batches:
        tree: PyTree = jax.tree.structure(batch)
        shapes = [tuple(np.shape(leaf)) for leaf in jax.tree.leaves(batch)]
        forms.append((tree, shapes))
        first_tree, first_shapes = forms[0]
        if tree != first_tree:
            raise ValueError(
                f"{function} needs a list of batches that are alike but for their "
                f"size, got {first_tree} and then {tree}."
            )
        if list(map(_but_size, shapes)) != list(map(_but_size, first_shapes)):
            raise ValueError(
                f"{function} needs a list of batches that are alike but for their "
                f"size, got arrays of shapes {first_shapes} and then {shapes}, put the "
                "arrays of a batch into a tuple, and the tuples into a list."
            )


def _but_size(shape: tuple[int, ...]) -> tuple[int, tuple[int, ...]]:
    """Returns what batches of any size have in common."""
    return len(shape), shape[1:]


def _check_stacked(function: str, batches: PyTree, wanted: int) -> None:
    """Raises ValueError for arrays that may be one batch or a whole data set."""
    leaves = jax.tree.leaves(batches)
    shapes = [leaf.shape for leaf in leaves]
    numbers = {shape[:1] for shape in shapes}
    if len(numbers) != 1 or numbers & {(), (0,)}:
        raise ValueError(
            f"{function} needs batches with one leading axis, over one or more "
            f"batches, got shapes {shapes}, give one batch, such as a graph, as "
            "jax.tree.map(lambda a: a[None], batch), or let loss_fn close over it and "
            "pass batches=None."
        )
    number = shapes[0][0]
    # rows of indices, integers in a single array, are batches though they have two axes
    indices = [leaf.dtype.kind in "iu" for leaf in leaves] == [True]
    flat = all(len(shape) == 2 for shape in shapes) and not indices
    sizes = {shape[1:2] for shape in shapes}
    if number > 1 and (len(sizes) != 1 or () in sizes or flat):
        raise ValueError(
            f"{function} needs stacked batches that cannot be taken for one batch or a "
            f"data set, got arrays of shapes {shapes}, write list(zip(x, y)) if they "
            "are batches, x[None] if x is one, and cut a data set into a list of them."
        )
    if number > wanted and len(set(shapes)) == 1:
        raise ValueError(
            f"{function} needs no more stacked batches than the {wanted} that it "
            f"takes, got shapes {shapes}, pass the first {wanted} if these are "
            "batches, or stack the data set."
        )


def _check_batched(function: str, batch: Batch) -> None:
    """Raises ValueError for vectors of several lengths, which single examples are."""
    shapes = [leaf.shape for leaf in jax.tree.leaves(batch)]
    if len(set(shapes)) > 1 and all(len(shape) == 1 for shape in shapes):
        raise ValueError(
            f"{function} needs batches whose arrays have one axis over examples, got "
            f"vectors of shapes {shapes}, batch an iterable of single examples first."
        )


def _is_ready_made(leaf: object) -> bool:
    """Returns whether it is an array that needs neither a check nor a conversion."""
    if isinstance(leaf, np.ndarray):
        return leaf.ndim > 0 and leaf.dtype.kind in "biufc"
    return isinstance(leaf, jax.Array) and leaf.ndim > 0

"""What a loss_fn must return, checked while it is traced."""

import jax
import jax.numpy as jnp
from jax.tree_util import keystr, tree_leaves_with_path

from clr_optax._types import PyTree


def loss_state_aux(
    function: str, result: PyTree, stateful: bool, has_aux: bool
) -> tuple[jax.Array, PyTree, PyTree]:
    """Returns the parts of what loss_fn returned, None for those it has not."""
    state = aux = None
    if stateful and has_aux:
        loss, rest = _pair(function, result, "(loss, (state, aux))")
        state, aux = _pair(function, rest, "(loss, (state, aux))")
    elif stateful:
        loss, state = _pair(function, result, "(loss, state)")
    elif has_aux:
        loss, aux = _pair(function, result, "(loss, aux)")
    else:
        loss = result
    array = isinstance(loss, jax.Array)
    if not array or loss.shape or not jnp.issubdtype(loss.dtype, jnp.floating):
        hint = "such as the mean of a smooth loss over the batch"
        if isinstance(loss, tuple | list):
            hint = "pass has_aux=True for (loss, aux), state= for (loss, state)"
        raise TypeError(
            f"{function} needs loss_fn to return one real number of jax.numpy as loss, "
            f"got {_kind(loss)}, {hint}."
        )
    return loss, state, jax.tree.map(jnp.asarray, aux)


def same_state(function: str, new: PyTree, old: PyTree) -> PyTree:
    """Returns the new state as arrays, of the structure, shapes and dtypes before."""
    is_as: PyTree = jax.tree.structure(new)
    was_as: PyTree = jax.tree.structure(old)
    before = tree_leaves_with_path(old)
    if is_as != was_as:
        raise TypeError(
            f"{function} needs loss_fn to return the state with the structure that it "
            f"was given, got {_difference(new, old) or f'{is_as}, not {was_as}'}."
        )
    leaves = []
    for (path, was), leaf in zip(before, jax.tree.leaves(new), strict=True):
        array = jnp.asarray(leaf)
        if (array.shape, array.dtype) != (was.shape, was.dtype):
            raise TypeError(
                f"{function} needs loss_fn to return a state that keeps its shapes and "
                f"dtypes, got {_kind(array)} at state{jax.tree_util.keystr(path)}, "
                f"not {_kind(was)}."
            )
        leaves.append(jnp.asarray(array, was.dtype))
    return jax.tree.unflatten(was_as, leaves)


def _difference(new: PyTree, old: PyTree) -> str:
    """Returns which leaves a tree has that another has not, and the other way round."""
    is_at, was_at = (
        [f"state{keystr(path)}" for path, _ in tree_leaves_with_path(tree)]
        for tree in (new, old)
    )
    came = [path for path in is_at if path not in was_at]
    went = [path for path in was_at if path not in is_at]
    parts = [f"{_few(came)} beside it"] if came else []
    parts += [f"it without {_few(went)}"] if went else []
    text = " and ".join(parts)
    if came and type(old).__module__.startswith("flax.nnx"):
        text += (
            ", call the model before nnx.split for what a call makes, and take what it "
            "sows out by nnx.pop(model, nnx.Intermediate) before nnx.state"
        )
    return text


def _few(paths: list[str]) -> str:
    """Returns the first three paths, and how many there are beside."""
    beside = f" and {len(paths) - 3} more" if len(paths) > 3 else ""
    return ", ".join(paths[:3]) + beside


def _pair(function: str, value: PyTree, form: str) -> tuple[PyTree, PyTree]:
    """Returns both parts of a pair."""
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise TypeError(
            f"{function} needs loss_fn to return {form}, got {_kind(value)}."
        )
    return value[0], value[1]


def _kind(value: PyTree) -> str:
    """Returns what a value is: its type, or dtype and shape, or those of its parts."""
    if isinstance(value, tuple | list):
        return f"({', '.join(map(_kind, value))})"
    if isinstance(value, jax.Array):
        return f"{value.dtype}{list(value.shape)}"
    return type(value).__name__

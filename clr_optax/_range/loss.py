"""What a loss_fn must return, checked while it is traced."""

from typing import Any

import jax
import jax.numpy as jnp


def check_loss(result: Any, stateful: bool, has_aux: bool) -> tuple[Any, Any, Any]:
    """Returns loss, state and aux, the latter None where there is none."""
    state = aux = None
    if stateful and has_aux:
        loss, rest = _pair(result, "(loss, (state, aux))")
        state, aux = _pair(rest, "(loss, (state, aux))")
    elif stateful:
        loss, state = _pair(result, "(loss, state)")
    elif has_aux:
        loss, aux = _pair(result, "(loss, aux)")
    else:
        loss = result
        if isinstance(loss, tuple | list):
            hint = "pass has_aux=True for (loss, aux), state= for (loss, state)"
            raise TypeError(_needs("the loss alone", hint, _names(loss)))
    if not isinstance(loss, jax.Array):
        hint = "compute it with jax.numpy, it has no gradient otherwise"
        raise TypeError(_needs("a loss that is a JAX array", hint, type(loss).__name__))
    if loss.shape:
        hint = "take its mean over the batch"
        raise TypeError(_needs("one number as loss", hint, f"shape {loss.shape}"))
    if not jnp.issubdtype(loss.dtype, jnp.floating):
        hint = "take its real part" if jnp.iscomplexobj(loss) else "use a smooth loss"
        raise TypeError(_needs("a loss of real numbers", hint, str(loss.dtype)))
    return loss, state, jax.tree.map(jnp.asarray, aux)


def check_state(new: Any, old: Any) -> Any:
    """Returns the new state as arrays, of the structure, shapes and dtypes before."""
    is_as: Any = jax.tree.structure(new)
    was_as: Any = jax.tree.structure(old)
    if is_as != was_as:
        rule = "the state with the structure that it was given"
        raise TypeError(_needs(rule, f"not {was_as}", str(is_as)))
    leaves = []
    before = jax.tree_util.tree_leaves_with_path(old)
    for (path, was), leaf in zip(before, jax.tree.leaves(new), strict=True):
        array = jnp.asarray(leaf)
        if (array.shape, array.dtype) != (was.shape, was.dtype):
            rule = "a state that keeps its shapes and dtypes"
            place = f"state{jax.tree_util.keystr(path)}"
            got = f"{array.dtype}{list(array.shape)} at {place}"
            raise TypeError(_needs(rule, f"not {was.dtype}{list(was.shape)}", got))
        leaves.append(jnp.asarray(array, was.dtype))
    return jax.tree.unflatten(was_as, leaves)


def _pair(value: Any, form: str) -> tuple[Any, Any]:
    """Returns both parts of a pair."""
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise TypeError(_needs(form, "", _names(value)))
    return value[0], value[1]


def _names(value: Any) -> str:
    """Returns what a value is, the parts of a tuple by name."""
    if isinstance(value, tuple | list):
        return f"({', '.join(map(_names, value))})"
    return "array" if isinstance(value, jax.Array) else type(value).__name__


def _needs(rule: str, hint: str, got: str) -> str:
    text = f"lr_range_test needs loss_fn to return {rule}, got {got}"
    return f"{text}, {hint}." if hint else f"{text}."

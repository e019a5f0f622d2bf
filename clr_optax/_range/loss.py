"""What a loss_fn must return, checked while it is traced."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from clr_optax._range.words import needs


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
            raise TypeError(
                needs(
                    "loss_fn to return the loss alone",
                    "pass has_aux=True for (loss, aux), state= for (loss, state)",
                    got=_names(loss),
                )
            )
    _check_number(loss)
    return loss, state, jax.tree.map(jnp.asarray, aux)


def check_state(new: Any, old: Any) -> Any:
    """Returns the new state as arrays, of the structure, shapes and dtypes before."""
    is_as: Any = jax.tree.structure(new)
    was_as: Any = jax.tree.structure(old)
    if is_as != was_as:
        raise TypeError(
            needs(
                "loss_fn to return the state with the structure that it was given",
                f"not {was_as}",
                got=is_as,
            )
        )
    leaves = []
    before = jax.tree_util.tree_leaves_with_path(old)
    for (path, was), leaf in zip(before, jax.tree.leaves(new), strict=True):
        array = jnp.asarray(leaf)
        if (array.shape, array.dtype) != (was.shape, was.dtype):
            place = f"state{jax.tree_util.keystr(path)}"
            raise TypeError(
                needs(
                    "loss_fn to return a state that keeps its shapes and dtypes",
                    f"not {was.dtype}{list(was.shape)}",
                    got=f"{array.dtype}{list(array.shape)} at {place}",
                )
            )
        leaves.append(jnp.asarray(array, was.dtype))
    return jax.tree.unflatten(was_as, leaves)


def _pair(value: Any, form: str) -> tuple[Any, Any]:
    """Returns both parts of a pair."""
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise TypeError(needs(f"loss_fn to return {form}", got=_names(value)))
    return value[0], value[1]


def _check_number(loss: Any) -> None:
    """Raises TypeError for a loss that is not one real number with a gradient."""
    if not isinstance(loss, jax.Array):
        raise TypeError(
            needs(
                "loss_fn to return a loss that is a JAX array",
                "compute it with jax.numpy, it has no gradient otherwise"
                if isinstance(loss, int | float | np.number | np.ndarray)
                else "return the number itself",
                got=type(loss).__name__,
            )
        )
    if loss.shape:
        raise TypeError(
            needs(
                "loss_fn to return one number as loss",
                "take its mean over the batch",
                got=f"shape {loss.shape}",
            )
        )
    if not jnp.issubdtype(loss.dtype, jnp.floating):
        raise TypeError(
            needs(
                "loss_fn to return a loss of real numbers",
                "take its real part" if jnp.iscomplexobj(loss) else "use a smooth loss",
                got=loss.dtype,
            )
        )


def _names(value: Any) -> str:
    """Returns what a value is, the parts of a tuple by name."""
    if isinstance(value, tuple | list):
        return f"({', '.join(map(_names, value))})"
    return "array" if isinstance(value, jax.Array) else type(value).__name__

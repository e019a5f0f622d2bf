"""What a range test starts from: copies of its own, and the optimizer's state."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from clr_optax._range.devices import on_mesh
from clr_optax._range.optimizer import check_opt_state, check_optimizer, noting
from clr_optax._range.stop import Stop


class Carry(NamedTuple):
    """What a step hands to the next: arrays that nobody else holds.

    Attributes:
        params: what is trained.
        opt_state: the optimizer's state.
        state: what the loss hands on, or None.
        stop: what the stop rule remembers.
        sums: the mean loss and gradient so far, if several batches make a step.
    """

    params: Any
    opt_state: Any
    state: Any
    stop: Stop
    sums: Any


MOST_KEPT = 8
_KEPT: dict["Start", Callable[[Any, Any], Any]] = {}


@dataclasses.dataclass(frozen=True)
class Start:
    """The first carry as a function of params and state; equal for equal fields."""

    optimizer: Callable[[optax.Schedule], optax.GradientTransformation]
    accumulate: int
    dtype: Any

    def __call__(self, params: Any, state: Any) -> Carry:
        """Returns the carry before the first batch, with copies of what is given."""
        params, state = jax.tree.map(jnp.copy, (params, state))
        zero = jnp.zeros((), self.dtype)
        with noting("optimizer(schedule)"):
            transformation = self.optimizer(lambda count: zero)
        check_optimizer(transformation)
        with noting("init(params)"):
            opt_state = _copied(transformation.init(params))
        check_opt_state(opt_state, params)
        sums = None
        if self.accumulate > 1:
            sums = zero, jax.tree.map(_zeros_for_a_sum, trained(params))
        return Carry(params, opt_state, state, Stop.start(self.dtype), sums)


def first_carry(start: Start, params: Any, state: Any, mesh: Any) -> Carry:
    """Returns the carry before the first batch, on the devices of the mesh if any.

    Without a mesh the optimizer's init is compiled. With one it is run as it is, so
    that its arrays are sharded like the params that they are made of: inside ``jit``
    XLA would choose.
    """
    carry: Carry
    if mesh is None:
        compiled = _KEPT.get(start) or jax.jit(start)
        carry = compiled(params, state)
    else:
        carry = on_mesh(mesh, start(params, state))
    return carry


def keep(start: Start, carry: Carry) -> None:
    """Keeps what JAX has compiled of a start, which led to a carry without tracers.

    JAX forgets it with the last equal start; one that closes over a tracer must go.
    """
    leaves = jax.tree.leaves(carry)
    if start in _KEPT or any(isinstance(leaf, jax.core.Tracer) for leaf in leaves):
        return
    _KEPT[start] = jax.jit(start)
    for oldest in list(_KEPT)[:-MOST_KEPT]:
        _KEPT.pop(oldest, None)


def trained(params: Any) -> Any:
    """Returns the part of the params that a loss is a function of."""
    return params.fast if isinstance(params, optax.LookaheadParams) else params


def _copied(tree: Any) -> Any:
    """Returns a copy of each array, one after another, as there may be no room for all.

    An optimizer's state may hold the params, one array twice, or what the caller holds.
    """
    leaves, form = jax.tree.flatten(tree)
    del tree
    leaves.reverse()
    copies = []
    while leaves:
        copies.append(jnp.copy(leaves.pop()))
    return jax.tree.unflatten(form, copies)


def _zeros_for_a_sum(leaf: jax.Array) -> jax.Array:
    """Returns zeros of the shape of a gradient, in float32 or wider."""
    return jnp.zeros_like(leaf, jnp.promote_types(leaf.dtype, jnp.float32))

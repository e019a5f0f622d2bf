"""What a range test starts from: copies of its own, and the optimizer's state."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp

from clr_optax._check_optimizer import check_opt_state, check_optimizer
from clr_optax._devices import on_mesh
from clr_optax._stop import Stop
from clr_optax._training import Carry, TrainingStep, trained


def first_carry(
    step: TrainingStep, params: Any, state: Any, mesh: Any, lrs: jax.Array
) -> Carry:
    """Returns the carry before the first batch, of arrays that nobody else holds.

    There is one copy of params and state. Without a mesh of several devices the
    optimizer's init is compiled. With one it is run as it is, so that its arrays are
    sharded like the params they are made of; inside ``jit`` XLA would choose.
    """
    start = _Start(step.optimizer, step.accumulate, lrs.size, lrs.dtype)
    if mesh is None:
        program = jax.jit(start)
        inputs = program.trace(params, state).jaxpr.jaxpr.invars
        if len(inputs) == len(jax.tree.leaves((params, state))):
            _keep(start)  # it closes over no tracer
        carry: Carry = program(params, state)
    else:
        carry = on_mesh(mesh, start(params, state))
    return carry


@dataclasses.dataclass(frozen=True)
class _Start:
    """The first carry as a function of params and state."""

    optimizer: Any
    accumulate: int
    num_steps: int
    dtype: Any

    def __call__(self, params: Any, state: Any) -> Carry:
        params, state = jax.tree.map(jnp.copy, (params, state))
        zero = jnp.zeros((), self.dtype)
        transformation = self.optimizer(lambda count: zero)
        check_optimizer(transformation)
        opt_state = transformation.init(params)
        check_opt_state(opt_state)
        sums = None
        if self.accumulate > 1:
            sums = zero, jax.tree.map(_zeros_for_a_sum, trained(params))
        stop = Stop.start(self.num_steps, self.dtype)
        seen = jnp.zeros((), jnp.int32)
        return _apart(Carry(seen, params, opt_state, state, stop, sums))


def _apart(carry: Carry) -> Carry:
    """Returns the carry with a copy for each array that stands in it once more."""
    seen: set[int] = set()

    def own(leaf: Any) -> jax.Array:
        array = jnp.copy(leaf) if id(leaf) in seen else jnp.asarray(leaf)
        seen.add(id(leaf))
        return array

    apart: Carry = jax.tree.map(own, carry)
    return apart


@functools.lru_cache(maxsize=8)
def _keep(start: _Start) -> None:
    """Keeps a function alive, and so what JAX has compiled of it."""


def _zeros_for_a_sum(leaf: jax.Array) -> jax.Array:
    """Returns zeros of the shape of a gradient, in float32 or wider."""
    return jnp.zeros_like(leaf, jnp.promote_types(leaf.dtype, jnp.float32))

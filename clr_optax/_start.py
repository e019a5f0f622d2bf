"""What a range test starts from: copies of its own, and the optimizer's state."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.sharding import NamedSharding, PartitionSpec

from clr_optax._core import refusal
from clr_optax._stop import Stop
from clr_optax._training import Carry, TrainingStep, trained


def first_carry(
    step: TrainingStep, params: Any, state: Any, num_steps: int, dtype: Any
) -> Carry:
    """Returns the carry before the first batch, of arrays that nobody else holds.

    There is one copy of params and state. The optimizer's state is sharded as its init
    makes it of the params, so init runs by itself where those are on several devices:
    inside ``jit`` XLA would choose.
    """
    start = _Start(step.optimizer, step.accumulate, num_steps, jnp.dtype(dtype))
    mesh = _mesh((params, state))
    if mesh is None:
        program = jax.jit(start)
        jaxpr = program.trace(params, state).jaxpr
        inputs = len(jaxpr.jaxpr.invars)
        if inputs == len(jax.tree.leaves((params, state))):
            _keep(start)
        carry: Carry = program(params, state)
    else:
        carry = start(params, state)
        carry = jax.tree.map(functools.partial(_on_mesh, mesh), carry)
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
        opt_state = check_optimizer(self.optimizer(lambda count: zero)).init(params)
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


def check_optimizer(transformation: Any) -> Any:
    """Returns what the factory made, if it is a gradient transformation."""
    if isinstance(transformation, optax.MultiSteps):
        raise TypeError(_ACCUMULATES)
    if not isinstance(transformation, optax.GradientTransformation):
        rule = "optimizer to return an optax.GradientTransformation"
        got = f"got {type(transformation).__name__}"
        raise TypeError(f"lr_range_test needs {rule}, {got}.")
    return transformation


_ACCUMULATES = refusal(
    "lr_range_test",
    "an optimizer that updates at each of its steps",
    "pass accumulate=k instead of optax.MultiSteps or apply_every",
)
_SEARCHES = refusal(
    "lr_range_test",
    "an optimizer that takes the rate it is given",
    "a line search chooses its own: leave it out (optax.lbfgs has linesearch=None)",
)
_REFUSED = {
    optax.MultiStepsState: _ACCUMULATES,
    optax.ApplyEvery: _ACCUMULATES,
    optax.ScaleByBacktrackingLinesearchState: _SEARCHES,
    optax.ScaleByZoomLinesearchState: _SEARCHES,
}


def check_opt_state(opt_state: Any) -> None:
    """Raises TypeError for a state whose optimizer makes no curve of the rates."""
    kinds = tuple(_REFUSED)
    parts = jax.tree.leaves(opt_state, is_leaf=lambda part: isinstance(part, kinds))
    for part in parts:
        for kind, text in _REFUSED.items():
            if isinstance(part, kind):
                raise TypeError(text)


def _zeros_for_a_sum(leaf: jax.Array) -> jax.Array:
    return jnp.zeros_like(leaf, jnp.promote_types(leaf.dtype, jnp.float32))


def _mesh(tree: Any) -> Any:
    """Returns the mesh of the first array that is spread over devices, or None."""
    for leaf in jax.tree.leaves(tree):
        if isinstance(leaf, jax.core.Tracer):
            continue
        sharding = getattr(leaf, "sharding", None)
        if isinstance(sharding, NamedSharding) and sharding.mesh.size > 1:
            return sharding.mesh
    return None


def _on_mesh(mesh: Any, leaf: Any) -> Any:
    """Returns an array on all devices of the mesh, as it is if it is there."""
    if isinstance(leaf.sharding, NamedSharding) and leaf.sharding.mesh.size > 1:
        return leaf
    everywhere: Any = PartitionSpec
    return jax.device_put(leaf, NamedSharding(mesh, everywhere()))

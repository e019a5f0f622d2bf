"""A step of a loop, traced once, and the compiled programs made of it."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from clr_optax._range.devices import (
    Shardings,
    keep_shardings,
    mesh_of,
    on_mesh,
    shardings_of,
    stacked_zeros,
)

Step = Callable[[Any, Any, Any], tuple[Any, Any, jax.Array]]


class Program:
    """The equations of a step, compiled to be dispatched, and compiled as a loop.

    A step goes from (carry, given, batch) to (carry, y, stop). The programs take and
    return flat lists of arrays. The carry is donated and stays sharded as it is.

    Attributes:
        y: the shapes of the step's y, a pytree.
        convolves: whether the step convolves.
        mapped: whether a tracer stands in its arguments or in what it closes over.
    """

    def __init__(self, flat: Any, traced: Any, shardings: Shardings, *, mapped: bool):
        self.y = traced.out_info[1]
        self.convolves = _convolves(traced.jaxpr.jaxpr)
        self.mapped = mapped
        self._consts = [] if mapped else traced.jaxpr.consts
        size = len(shardings)

        def step(consts: Any, carry: Any, rest: Any) -> tuple[Any, Any, Any]:
            *out, stop = flat(consts, [*carry, *rest])
            return keep_shardings(out[:size], shardings), out[size:], stop

        def once(
            consts: Any, carry: Any, i: Any, ys: Any, rest: Any
        ) -> tuple[Any, Any, Any, Any]:
            carry, y, stop = step(consts, carry, rest)
            write = jax.lax.dynamic_update_index_in_dim
            ys = [write(a, b, i, 0) for a, b in zip(ys, y, strict=True)]
            return carry, i + 1, ys, stop

        def loop(consts: Any, carry: Any, rest: Any, length: int) -> tuple[Any, Any]:
            return jax.lax.scan(
                lambda carry, _: step(consts, carry, rest)[:2], carry, None, length
            )

        # what belongs to a tracer may be shared: then nothing is donated
        donated = () if mapped else (1, 2, 3)
        self._once = jax.jit(once, donate_argnums=donated)
        self._loop = jax.jit(loop, donate_argnums=donated[:1], static_argnums=3)

    @classmethod
    def of(cls, step: Step, carry: Any, given: Any, batch: Any) -> "Program":
        """Returns the program of a step, the one made before if there is one."""
        traced = jax.jit(step).trace(carry, given, batch)
        leaves, tree = jax.tree.flatten((carry, given, batch))
        shardings = shardings_of(carry)
        inputs = len(traced.jaxpr.jaxpr.invars)  # what tracers it closes over as well
        if inputs == len(leaves) and not _tracers(leaves + traced.jaxpr.consts):
            return _kept(step, _Traced(traced), shardings)

        def flat(consts: Any, leaves: list[Any]) -> list[Any]:
            return jax.tree.leaves(step(*jax.tree.unflatten(tree, leaves)))

        return cls(flat, traced, shardings, mapped=True)

    def start(self, carry: Any, length: int) -> tuple[jax.Array, list[jax.Array]]:
        """Returns the count and the results before the first step, beside the carry."""
        mesh = mesh_of(carry)
        i: jax.Array = on_mesh(mesh, jnp.zeros((), jnp.int32))
        return i, [stacked_zeros(mesh, length, y) for y in jax.tree.leaves(self.y)]

    def once(self, carry: Any, i: Any, ys: Any, rest: Any) -> Any:
        """Returns carry, count and results after one step, and whether to stop."""
        return self._once(self._consts, carry, i, ys, rest)

    def loop(self, carry: Any, rest: Any, length: int) -> Any:
        """Returns the carry and the results after all steps."""
        return self._loop(self._consts, carry, rest, length)


class _Traced:
    """A traced step, equal to another where they have the same equations."""

    def __init__(self, traced: Any):
        self.traced = traced

    def __hash__(self) -> int:
        return id(self.traced.jaxpr)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Traced) and other.traced.jaxpr is self.traced.jaxpr


@functools.lru_cache(maxsize=8)
def _kept(step: Step, traced: _Traced, shardings: Shardings) -> Program:
    """Returns a program; the step is kept with it, since JAX forgets it otherwise."""
    equations = traced.traced.jaxpr.jaxpr

    def flat(consts: Any, leaves: list[Any]) -> Any:
        return jax.core.eval_jaxpr(equations, consts, *leaves)

    return Program(flat, traced.traced, shardings, mapped=False)


def _tracers(leaves: list[Any]) -> bool:
    """Returns whether there is a tracer among them."""
    return any(isinstance(leaf, jax.core.Tracer) for leaf in leaves)


def _convolves(jaxpr: Any) -> bool:
    """Returns whether a convolution stands in the equations, nested ones included."""
    for equation in jaxpr.eqns:
        if equation.primitive.name == "conv_general_dilated":
            return True
        for leaf in jax.tree.leaves(tuple(equation.params.values())):
            inner = getattr(leaf, "jaxpr", leaf)
            if hasattr(inner, "eqns") and _convolves(inner):
                return True
    return False

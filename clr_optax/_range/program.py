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
    shardings_of,
    stacked_zeros,
)

Step = Callable[[jax.Array, Any, Any, Any], tuple[Any, Any, jax.Array]]


class Program:
    """The equations of a step, compiled to be dispatched, and compiled as a loop.

    A step goes from (i, carry, given, batch) to (carry, y, stop). The programs take
    and return flat lists of arrays. The carry is donated and stays sharded as it is.

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

        def step(consts: Any, i: Any, carry: Any, rest: Any) -> tuple[Any, Any, Any]:
            *out, stop = flat(consts, [i, *carry, *rest])
            return keep_shardings(out[:size], shardings), out[size:], stop

        def once(
            consts: Any, i: Any, carry: Any, ys: Any, rest: Any
        ) -> tuple[Any, Any, Any, Any]:
            carry, y, stop = step(consts, i, carry, rest)
            write = jax.lax.dynamic_update_index_in_dim
            ys = [write(a, b, i, 0) for a, b in zip(ys, y, strict=True)]
            return i + 1, carry, ys, stop

        def loop(
            consts: Any, i: Any, carry: Any, rest: Any, length: int
        ) -> tuple[Any, Any]:
            return jax.lax.scan(
                lambda carry, i: step(consts, i, carry, rest)[:2],
                carry,
                i + jnp.arange(length, dtype=i.dtype),
            )

        # what belongs to a tracer may be shared: then nothing is donated
        donated = () if mapped else (1, 2, 3)
        self._once = jax.jit(once, donate_argnums=donated)
        self._loop = jax.jit(loop, donate_argnums=donated[1:2], static_argnums=4)

    @classmethod
    def of(
        cls, step: Step, i: jax.Array, carry: Any, given: Any, batch: Any
    ) -> "Program":
        """Returns the program of a step, the one made before if there is one."""
        traced = jax.jit(step).trace(i, carry, given, batch)
        leaves, tree = jax.tree.flatten((i, carry, given, batch))
        shardings = shardings_of(carry)
        inputs = len(traced.jaxpr.jaxpr.invars)  # what tracers it closes over as well
        if inputs == len(leaves) and not _tracers(leaves + traced.jaxpr.consts):
            return _kept(step, _Traced(traced), shardings)

        def flat(consts: Any, leaves: list[Any]) -> list[Any]:
            return jax.tree.leaves(step(*jax.tree.unflatten(tree, leaves)))

        return cls(flat, traced, shardings, mapped=True)

    def empty(self, carry: Any, length: int) -> list[jax.Array]:
        """Returns the results before the first step, on the devices of the carry."""
        mesh = mesh_of(carry)
        return [stacked_zeros(mesh, length, y) for y in jax.tree.leaves(self.y)]

    def once(self, i: Any, carry: Any, ys: Any, rest: Any) -> Any:
        """Returns i + 1, carry and results after step i, and whether to stop."""
        return self._once(self._consts, i, carry, ys, rest)

    def loop(self, i: Any, carry: Any, rest: Any, length: int) -> Any:
        """Returns the carry and the results after all steps, the first of them i."""
        return self._loop(self._consts, i, carry, rest, length)


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

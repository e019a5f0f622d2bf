"""How steps are iterated, decided in one place."""

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp

Carry = TypeVar("Carry")

LOOK_EVERY = 16


def iterate(
    step: Callable[[Carry, Any], tuple[Carry, Any]],
    carry: Carry,
    xs: Any,
    *,
    done: Callable[[Carry], jax.Array] | None = None,
) -> tuple[Carry, Any]:
    """The last carry and the stacked results of a step repeated over xs.

        for x in xs:
            carry, y = step(carry, x)

    Means what ``jax.lax.scan(step, carry, xs)`` means, and is that, except on a CPU
    for a step that convolves: XLA runs a convolution inside a loop on the CPU several
    times slower than outside (https://github.com/jax-ml/jax/issues/12868), so there
    the steps are compiled once and dispatched one by one. Inside a caller's own
    ``jit`` steps cannot be dispatched, and the slow loop is what there is.

    Either way a step is compiled once for each step (compared by equality, so keep the
    function and pass it again) and for each shape of its arguments; arrays that the
    step closes over are arguments of the compiled program and not copied into it; and
    parts of the carry that a step hands on as they are, such as a data set, cost
    nothing.

    Args:
      step: a pure, hashable function from (carry, x) to (carry, y).
      carry: a pytree of arrays, of the same shapes and dtypes before and after a step.
      xs: a pytree of arrays, whose leading axis counts the steps.
      done: says of a carry that the remaining results are of no interest. Dispatched
        steps may then end early, with NaN (zero for integers) in their places.

    Returns:
      The carry after the last step, and the results with a leading axis.
    """
    staged = isinstance(jnp.zeros(()), jax.core.Tracer)
    if not staged and jax.default_backend() == "cpu":
        leaves, tree = jax.tree.flatten(jax.eval_shape(_first, carry, xs))
        program = _Program.of(step, tree, tuple(leaves))
        if _convolves(program.jaxpr.jaxpr):
            return program.run(carry, xs, done)
    return jax.lax.scan(step, carry, xs)


def _first(carry: Any, xs: Any) -> tuple[Any, Any]:
    return carry, jax.tree.map(lambda a: a[0], xs)


class _Program:
    """A step traced once: its equations, and a compiled form to be dispatched."""

    def __init__(self, step: Callable[..., Any], tree: Any, shapes: tuple[Any, ...]):
        # imported here because it brings all of Pallas, a tenth of a second
        from jax.extend.core import ClosedJaxpr, jaxpr_as_fun

        carry, x = jax.tree.unflatten(tree, shapes)
        self.jaxpr, (_, self.y) = jax.make_jaxpr(step, return_shape=True)(carry, x)
        size = len(jax.tree.leaves(carry))
        read, written = self.jaxpr.jaxpr.invars[:size], self.jaxpr.jaxpr.outvars[:size]
        changed = [k for k in range(size) if written[k] is not read[k]]

        def once(
            consts: Any, carry: list[Any], i: Any, ys: list[Any], xs: list[Any]
        ) -> tuple[dict[int, Any], Any, list[Any]]:
            x = [jax.lax.dynamic_index_in_dim(a, i, keepdims=False) for a in xs]
            out = jaxpr_as_fun(ClosedJaxpr(self.jaxpr.jaxpr, consts))(*carry, *x)
            update = jax.lax.dynamic_update_index_in_dim
            ys = [update(a, y, i, 0) for a, y in zip(ys, out[size:], strict=True)]
            return {k: out[k] for k in changed}, i + 1, ys

        self.once = jax.jit(once)

    of = functools.lru_cache(maxsize=8)(
        lambda step, tree, shapes: _Program(step, tree, shapes)
    )

    def run(self, carry: Any, xs: Any, done: Any) -> tuple[Any, Any]:
        leaves, tree = jax.tree.flatten(carry)
        inputs = jax.tree.leaves(xs)
        length = inputs[0].shape[0]
        i = jnp.zeros((), jnp.int32)
        outputs, y_tree = jax.tree.flatten(self.y)
        ys = [blank((length, *y.shape), y.dtype) for y in outputs]
        for count in range(length):
            changed, i, ys = self.once(self.jaxpr.consts, leaves, i, ys, inputs)
            leaves = [changed.get(k, leaf) for k, leaf in enumerate(leaves)]
            if done is not None and count % LOOK_EVERY == LOOK_EVERY - 1:
                flag = done(jax.tree.unflatten(tree, leaves))
                if not isinstance(flag, jax.core.Tracer) and flag:
                    break
        return jax.tree.unflatten(tree, leaves), jax.tree.unflatten(y_tree, ys)


def blank(shape: tuple[int, ...], dtype: Any) -> jax.Array:
    """NaN where the dtype has it, else zero."""
    return jnp.full(shape, jnp.nan if jnp.issubdtype(dtype, jnp.inexact) else 0, dtype)


def _convolves(jaxpr: Any) -> bool:
    """Whether a convolution stands in the equations, nested ones included."""
    for equation in jaxpr.eqns:
        if equation.primitive.name == "conv_general_dilated":
            return True
        for leaf in jax.tree.leaves(tuple(equation.params.values())):
            inner = getattr(leaf, "jaxpr", leaf)
            if hasattr(inner, "eqns") and _convolves(inner):
                return True
    return False

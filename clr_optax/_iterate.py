"""How steps are iterated, decided in one place."""

import itertools
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp

from clr_optax._core import refusal
from clr_optax._program import Program, Step


def iterate(
    step: Step, carry: Any, given: Any, batches: Any, length: int
) -> tuple[Any, Any]:
    """Returns the last carry and the stacked results of a step that is repeated.

        for batch in batches:                        # an iterator, length times
            carry, y, stop = step(carry, given, batch)
            if stop:                                 # now and then
                break

    Batches that are no iterator are handed whole to every step. Then this is a
    compiled ``jax.lax.scan``, except on a CPU for a step that convolves: XLA runs a
    convolution inside a loop on the CPU several times slower than outside
    (https://github.com/jax-ml/jax/issues/12868), so there, as for an iterator, the
    step is compiled by itself and dispatched again and again. Inside a caller's own
    ``jit`` steps cannot be dispatched, and the slow loop is what there is.

    Either way a step is compiled once for equal steps (so keep the function and pass
    it again) and for each shape of its arguments; arrays that the step closes over are
    arguments of the compiled program and not copied into it. The carry is donated:
    it lives in one place, and the arrays that were given are gone.

    Args:
        step: a pure, hashable function from (carry, given, batch) to (carry, y, stop),
            where stop says that what follows is of no interest.
        carry: a pytree of arrays, of the same shapes and dtypes before and after.
        given: a pytree of arrays, the same for each step.
        batches: an iterator of pytrees of arrays, or one pytree of arrays.
        length: how many steps there are, unless the iterator has fewer batches.

    Returns:
        The carry after the last step, and the results with a leading axis of length,
        with zeros in the places of steps that were not made.

    Raises:
        TypeError: batches is an iterator under ``jit`` or ``vmap``, or its batches
            lead to results of different shapes.
    """
    stream = isinstance(batches, Iterator)
    if isinstance(jnp.zeros(()), jax.core.Tracer):
        if stream:
            raise TypeError(_TRACED)
        return jax.lax.scan(
            lambda carry, _: step(carry, given, batches)[:2], carry, None, length
        )
    if stream:
        return _dispatched(step, carry, given, batches, length)
    program = Program.of(step, carry, given, batches)
    if program.convolves and jax.default_backend() == "cpu":
        return _dispatched(step, carry, given, itertools.repeat(batches), length)
    leaves, tree = jax.tree.flatten(carry)
    leaves, ys = program.loop(leaves, jax.tree.leaves((given, batches)), length)
    return jax.tree.unflatten(tree, leaves), _like(program.y, ys)


def _dispatched(
    step: Step, carry: Any, given: Any, batches: Iterator[Any], length: int
) -> tuple[Any, Any]:
    """Returns what iterate returns, from steps that are dispatched one by one.

    No batch is asked for before the last step but one has ended: the device always
    has work, and no more than two batches are held at a time.
    """
    leaves, tree = jax.tree.flatten(carry)
    given_leaves = jax.tree.leaves(given)
    same = isinstance(batches, itertools.repeat)
    programs: dict[Any, Program] = {}
    program, i, ys, stop = None, None, None, False
    for batch in itertools.islice(batches, length):
        if program is None or not same:
            rest, form = jax.tree.flatten(batch)
            shapes = tuple((leaf.shape, leaf.dtype) for leaf in rest)
            rest = given_leaves + rest
            program = programs.get((form, shapes))
        if program is None:
            carry = jax.tree.unflatten(tree, leaves)
            program = programs[form, shapes] = Program.of(step, carry, given, batch)
            if program.mapped and not same:
                raise TypeError(_TRACED)
            if ys is None:
                y = program.y
                i, ys = program.start(length)
            elif y != program.y:
                rule = "a loss_fn with aux of one shape for all batches"
                raise TypeError(refusal("lr_range_test", rule, first=y, now=program.y))
        before = stop
        leaves, i, ys, stop = program.once(leaves, i, ys, rest)
        if not isinstance(before, jax.core.Tracer) and before:
            break
    return jax.tree.unflatten(tree, leaves), ys if ys is None else _like(y, ys)


_TRACED = refusal(
    "lr_range_test",
    "stacked arrays as batches under jit and vmap, where no iterable can be read",
    "stack its batches with jax.tree.map(lambda *a: jax.numpy.stack(a), *batches)",
)


def _like(tree: Any, leaves: list[Any]) -> Any:
    return jax.tree.unflatten(jax.tree.structure(tree), leaves)

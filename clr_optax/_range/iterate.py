"""How steps are iterated, decided in one place."""

import itertools
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp

from clr_optax._range.devices import mesh_of, on_mesh
from clr_optax._range.program import Program, Step
from clr_optax._range.words import needs

MOST_AHEAD = 8
MOST_BYTES = 2**25


def iterate(
    step: Step, carry: Any, given: Any, batches: Any, length: int
) -> tuple[Any, Any]:
    """Returns the last carry and the stacked results of a step that is repeated.

        for i, batch in enumerate(batches):          # an iterator, length times
            carry, y, stop = step(i, carry, given, batch)
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
        step: a pure, hashable function from (i, carry, given, batch) to
            (carry, y, stop), where i is an int32 scalar, and stop says that what
            follows is of no interest.
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
            lambda carry, i: step(i, carry, given, batches)[:2],
            carry,
            jnp.arange(length, dtype=jnp.int32),
        )
    if stream:
        return _dispatched(step, carry, given, batches, length)
    i = _first(carry)
    program = Program.of(step, i, carry, given, batches)
    if program.convolves and jax.default_backend() == "cpu":
        return _dispatched(step, carry, given, itertools.repeat(batches), length)
    leaves, tree = jax.tree.flatten(carry)
    leaves, ys = program.loop(i, leaves, jax.tree.leaves((given, batches)), length)
    return jax.tree.unflatten(tree, leaves), _like(program.y, ys)


def _dispatched(
    step: Step, carry: Any, given: Any, batches: Iterator[Any], length: int
) -> tuple[Any, Any]:
    """Returns what iterate returns, from steps that are dispatched one by one.

    Steps are dispatched ahead of the device, so that it always has work: after every
    few it is asked whether the few before them stopped. Once a step says so, those
    after it do too; processes that share a device all ask at the same steps.
    """
    leaves, tree = jax.tree.flatten(carry)
    stream = not isinstance(batches, itertools.repeat)
    programs = _Programs(step, tree, given, stream)
    i, program, before = _first(carry), None, None
    for count, batch in enumerate(itertools.islice(batches, length), 1):
        if program is None or stream:
            program, rest, few = programs.of(i, leaves, batch)
        if count == 1:
            ys = program.empty(leaves, length)
        i, leaves, ys, stop = program.once(i, leaves, ys, rest)
        if count % few == 0 and not program.mapped:
            if before is not None and before:
                break
            before = stop
    carry = jax.tree.unflatten(tree, leaves)
    return carry, _like(program.y, ys) if program else None


class _Programs:
    """The programs of a step, one for each form that a batch has."""

    def __init__(self, step: Step, tree: Any, given: Any, stream: bool):
        self._step, self._tree, self._given = step, tree, given
        self._stream, self._beside = stream, jax.tree.leaves(given)
        self._known: dict[Any, tuple[Program, int]] = {}

    def of(
        self, i: jax.Array, leaves: list[Any], batch: Any
    ) -> tuple[Program, list[Any], int]:
        """Returns the program for a batch, what it takes beside the carry, and few.

        Few is after how many steps to ask: the batches of twice as many hold 32 MB.
        """
        rest, form = jax.tree.flatten(batch)
        key = form, *[(leaf.shape, leaf.dtype) for leaf in rest]
        if key not in self._known:
            carry = jax.tree.unflatten(self._tree, leaves)
            program = Program.of(self._step, i, carry, self._given, batch)
            self._check(program)
            if self._stream and program.mapped:
                raise TypeError(_TRACED)
            size = sum(leaf.nbytes for leaf in rest) if self._stream else 0
            ahead = min(MOST_AHEAD, MOST_BYTES // max(size, 1))
            self._known[key] = program, max(1, ahead // 2)
        program, few = self._known[key]
        return program, self._beside + rest, few

    def _check(self, program: Program) -> None:
        """Raises TypeError for a program whose results do not fit those before."""
        for known, _ in self._known.values():
            if known.y != program.y:
                first, now = (
                    [leaf.shape for leaf in jax.tree.leaves(y)]
                    for y in (known.y, program.y)
                )
                raise TypeError(
                    needs(
                        "a loss_fn with aux of one shape for all batches",
                        got=f"shapes {first} and then {now}",
                    )
                )


_TRACED = needs(
    "stacked arrays as batches under jit and vmap, where no iterable can be read",
    "stack its batches with jax.tree.map(lambda *a: jax.numpy.stack(a), *batches)",
)


def _first(carry: Any) -> jax.Array:
    """Returns the number of the first step, on the devices of the carry."""
    i: jax.Array = on_mesh(mesh_of(carry), jnp.zeros((), jnp.int32))
    return i


def _like(tree: Any, leaves: list[Any]) -> Any:
    """Returns the leaves in the structure of a tree."""
    return jax.tree.unflatten(jax.tree.structure(tree), leaves)

"""How a step is repeated: dispatched one by one, until one says stop or raises."""

import dataclasses
import functools
import itertools
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from clr_optax._range.mesh import (
    Arrays,
    Shardings,
    keep_shardings,
    mesh_of,
    on_mesh,
    shardings_of,
    zeros_like_each,
)
from clr_optax._range.raised import Failure, failure_of
from clr_optax._types import Batch, PyTree

MOST_AHEAD = 8
MOST_BYTES = 2**25

Step = Callable[[jax.Array, PyTree, PyTree, Batch], tuple[PyTree, PyTree, jax.Array]]
Program = Callable[
    [jax.Array, Arrays, Arrays], tuple[jax.Array, Arrays, Arrays, jax.Array]
]


class Run(NamedTuple):
    """What came of a run.

    Attributes:
        carry: the last one; lost, and None, where a step raised.
        results: what the steps gave, stacked.
        stopped: whether a step said stop, or None inside a caller's own program.
        failure: what ended the run if it had not stopped before.
    """

    carry: PyTree
    results: PyTree
    stopped: bool | None
    failure: Failure | None


def iterate(
    function: str,
    step: Step,
    starts: Sequence[tuple[PyTree, PyTree]],
    batches: Iterator[Batch] | PyTree,
    length: int,
) -> list[Run]:
    """Returns the last carry and the stacked results of each run of a step.

        for i, batch in enumerate(batches):          # an iterator, length times
            for carry, given in starts:              # as many runs
                carry, y, stop = step(i, carry, given, batch)
            if stop:                                 # in all of them, now and then
                break

    Batches that are no iterator are handed whole to every step. The step is compiled
    by itself and dispatched again and again, ahead of the device, so that it always has
    work. Only inside a caller's own ``jit`` or ``vmap``, where nothing can be
    dispatched, is this a ``jax.lax.scan``, in which a CPU convolves several times
    slower (https://github.com/jax-ml/jax/issues/12868).

    A step is compiled once for equal steps (so keep the function and pass it again) and
    for each shape of its arguments; arrays that it closes over are arguments of the
    compiled program and not copied into it. A carry is donated: it lives in one place,
    and the arrays that were given are gone.

    Several runs see the same batches, each read once. On a CPU they take turns. On
    other devices, which a single run may not fill, one program makes a step of all.

    What a step raises while it runs ends its run, or all that one program makes, and
    is returned. What is raised while a step is traced, or by the iterator, is raised.

    Args:
        function: the public function, for what is refused.
        step: pure and hashable; i is an int32 scalar. Once it says stop, later steps
            must say so too: the device is asked every few steps, and all processes that
            share it ask at the same ones.
        starts: each run's carry, a pytree of arrays, of the same shapes and dtypes
            before and after, and what is given to all its steps, a pytree of arrays.
        batches: an iterator of pytrees of arrays, or one pytree of arrays.
        length: how many steps there are, unless the iterator has fewer batches. The
            results have as many places, with zeros for steps that were not made.
    """
    together = len(starts) > 1 and mesh_of(starts) is None
    if together and jax.default_backend() != "cpu":
        return _at_once(function, step, starts, batches, length)
    stream = isinstance(batches, Iterator)
    runs = [Steps(function, step, carry, given, length) for carry, given in starts]
    each, going = batches if stream else itertools.repeat(batches), runs
    for count, batch in enumerate(itertools.islice(each, length)):
        if stream or not count:
            prepared = [run.prepare(batch, stream) for run in going]
            if not all(prepared):
                return [_scanned(step, *start, batches, length) for start in starts]
        going = [run for run in going if not run.dispatch()]
        if not going:
            break
    return [run.end() for run in runs]


def _scanned(
    step: Step, carry: PyTree, given: PyTree, batches: PyTree, length: int
) -> Run:
    """Returns a run's carry and results, as a part of a caller's own program."""
    numbers = jnp.arange(length, dtype=jnp.int32)
    last, results = jax.lax.scan(
        lambda carry, i: step(i, carry, given, batches)[:2], carry, numbers
    )
    return Run(last, results, None, None)


@dataclasses.dataclass(frozen=True)
class _Together:
    """A step of several runs, whose carries and givens are stacked."""

    step: Step

    def __call__(
        self, i: jax.Array, carry: PyTree, given: PyTree, batch: Batch
    ) -> tuple[PyTree, PyTree, jax.Array]:
        """Returns what the step does, and whether it says of all runs to stop."""
        steps = jax.vmap(self.step, in_axes=(None, 0, 0, None))
        carry, y, stop = steps(i, carry, given, batch)
        return carry, y, stop.all()


def _at_once(
    function: str,
    step: Step,
    starts: Sequence[tuple[PyTree, PyTree]],
    batches: Iterator[Batch] | PyTree,
    length: int,
) -> list[Run]:
    """Returns what iterate returns, of all runs in one program."""
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *starts)
    for leaf in jax.tree.leaves([carry for carry, _ in starts]):
        if not isinstance(leaf, jax.core.Tracer):
            leaf.delete()  # a carry lives in one place
    [all_runs] = iterate(function, _Together(step), [stacked], batches, length)
    return [
        all_runs._replace(
            carry=jax.tree.map(lambda leaf: leaf[k], all_runs.carry),  # noqa: B023
            results=jax.tree.map(lambda leaf: leaf[:, k], all_runs.results),  # noqa: B023
        )
        for k in range(len(starts))
    ]


class Steps:
    """A carry that goes from step to step, each of them dispatched by itself."""

    def __init__(
        self, function: str, step: Step, carry: PyTree, given: PyTree, length: int
    ):
        self._function, self._step, self._given = function, step, given
        self._length, self._mesh = length, mesh_of(carry)
        self._i = on_mesh(self._mesh, jnp.zeros((), jnp.int32))
        self._beside = jax.tree.leaves(given)
        self._carry, self._tree = jax.tree.flatten(carry)
        self._programs: dict[Any, tuple[Program, int]] = {}
        self._shapes: PyTree = None
        self._results: Arrays = []
        self._made = self._kept = 0
        self._ahead: deque[tuple[Arrays, jax.Array]] = deque()
        self._stopped = False
        self._failure: Failure | None = None

    def prepare(self, batch: Batch, stream: bool) -> bool:
        """Compiles the step for a batch; returns whether it can be dispatched.

        It cannot where a tracer of a caller's jit or vmap stands in its arguments, or
        in what the step closes over.
        """
        arrays, structure = jax.tree.flatten(batch)
        form = structure, *[(array.shape, array.dtype) for array in arrays]
        if form not in self._programs:
            carry = jax.tree.unflatten(self._tree, self._carry)
            traced = _traced(self._step, self._i, carry, self._given, batch)
            if traced is None and stream:
                raise TypeError(
                    f"{self._function} needs stacked arrays as batches under jit and "
                    "vmap, where no iterable can be read, stack its batches with "
                    "jax.tree.map(lambda *a: jax.numpy.stack(a), *batches)."
                )
            if traced is None:
                return False
            self._check_shapes(traced.out_info[1])
            program = _program(self._step, traced.jaxpr, shardings_of(self._carry))
            size = sum(array.nbytes for array in arrays) if stream else 0
            ahead = min(MOST_AHEAD, MOST_BYTES // max(size, 1))
            self._programs[form] = program, max(1, ahead // 2)
        self._program, self._few = self._programs[form]
        self._rest = self._beside + arrays
        return True

    def _check_shapes(self, shapes: PyTree) -> None:
        """Makes room for results of these shapes, or raises if others came before."""
        if self._shapes is None:
            self._shapes = shapes
            self._results = [
                zeros_like_each(self._mesh, self._length, y)
                for y in jax.tree.leaves(shapes)
            ]
        if shapes != self._shapes:
            before, after = (
                set(jax.tree.leaves(tree)) for tree in (self._shapes, shapes)
            )
            raise TypeError(
                f"{self._function} needs a loss_fn with aux of one shape and dtype for "
                f"all batches, got {before - after} and then {after - before}."
            )

    def dispatch(self) -> bool:
        """Dispatches the step; returns whether the run is seen to have ended.

        After every few steps those that are as many back are waited for: the device has
        work meanwhile, and the batches that it has not seen yet hold 32 MB at most.
        """
        try:
            self._i, self._carry, y, stop = self._program(
                self._i, self._carry, self._rest
            )
        except Exception as error:
            self._keep(0)
            self._fail(error)
            return True
        self._ahead.append((y, stop))
        self._made += 1
        return not self._made % self._few and self._keep(self._few)

    def _keep(self, ahead: int) -> bool:
        """Keeps the results of all but the last steps; returns whether the run ended.

        Those of a step that raised are lost, with all that was donated to it, so it is
        waited for before they are written.
        """
        done: list[tuple[Arrays, jax.Array]] = []
        error = None
        while len(self._ahead) > ahead and error is None:
            made = self._ahead.popleft()
            error = _raised_in(made[1])
            done += [made] if error is None else []
        if done:
            ys = [y for y, _ in done]
            self._results = _written(self._results, ys, self._kept)
            self._kept += len(ys)
            self._stopped = bool(done[-1][1])
        if error is not None:
            self._fail(error)
        return self._stopped or self._failure is not None

    def _fail(self, error: Exception) -> None:
        """Ends the run, unless it has, by an error of the first step not kept."""
        failure = failure_of(self._kept, error)
        self._ahead.clear()
        self._carry = []
        if not self._stopped and self._failure is None:
            self._failure = failure

    def end(self) -> Run:
        """Returns what came of the run, once all of its steps are done."""
        self._keep(0)
        carry = jax.tree.unflatten(self._tree, self._carry) if self._carry else None
        results = jax.tree.unflatten(jax.tree.structure(self._shapes), self._results)
        return Run(carry, results, self._stopped, self._failure)


def _raised_in(stop: jax.Array) -> Exception | None:
    """Waits for a step; returns what it raised, None if nothing."""
    try:
        stop.block_until_ready()
    except Exception as error:
        return error
    return None


def _traced(step: Step, *arguments: PyTree) -> Any:
    """Returns the step traced, None where there are tracers around it."""
    leaves = jax.tree.leaves(arguments)
    if _tracers(leaves):
        return None
    traced = jax.jit(step).trace(*arguments)
    inputs = traced.jaxpr.jaxpr.invars  # tracers that it closes over are among them
    around = len(inputs) > len(leaves) or _tracers(traced.jaxpr.consts)
    return None if around else traced


def _tracers(leaves: list[Any]) -> bool:
    """Returns whether there is a tracer among them."""
    return any(isinstance(leaf, jax.core.Tracer) for leaf in leaves)


@functools.lru_cache(maxsize=8)
def _program(step: Step, jaxpr: Any, shardings: Shardings) -> Program:
    """Returns a traced step as a compiled program of flat lists of arrays.

    The step is kept with it, since JAX forgets what it traced and compiled of a step,
    and of what it consists of, when the last equal one is gone.
    """
    size = len(shardings)

    def program(
        consts: Arrays, i: jax.Array, carry: Arrays, rest: Arrays
    ) -> tuple[jax.Array, Arrays, Arrays, jax.Array]:
        *out, stop = jax.core.eval_jaxpr(jaxpr.jaxpr, consts, i, *carry, *rest)
        return i + 1, keep_shardings(out[:size], shardings), out[size:], stop

    compiled = jax.jit(program, donate_argnums=(1, 2))
    return functools.partial(compiled, jaxpr.consts)


@functools.partial(jax.jit, donate_argnums=0)
def _written(results: Arrays, ys: list[Arrays], first: int) -> Arrays:
    """Returns the results with those of some steps, from the first on."""
    write = jax.lax.dynamic_update_index_in_dim
    for i, y in enumerate(ys):
        results = [write(a, b, first + i, 0) for a, b in zip(results, y, strict=True)]
    return results

"""How a step is repeated: dispatched one by one, and where its arrays lie meanwhile."""

import functools
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import AbstractMesh, AxisType, Mesh, NamedSharding, PartitionSpec

from clr_optax._types import Batch, PyTree

MOST_AHEAD = 8
MOST_BYTES = 2**25

Step = Callable[[jax.Array, PyTree, PyTree, Batch], tuple[PyTree, PyTree, jax.Array]]
Arrays = list[jax.Array]
Devices = Mesh | AbstractMesh | None
Shardings = tuple[NamedSharding | None, ...]
Program = Callable[
    [jax.Array, Arrays, Arrays, Arrays], tuple[jax.Array, Arrays, Arrays, jax.Array]
]


def iterate(
    function: str,
    step: Step,
    carry: PyTree,
    given: PyTree,
    batches: Iterator[Batch] | PyTree,
    length: int,
) -> tuple[PyTree, PyTree]:
    """Returns the last carry and the stacked results of a step that is repeated.

        for i, batch in enumerate(batches):          # an iterator, length times
            carry, y, stop = step(i, carry, given, batch)
            if stop:                                 # now and then
                break

    Batches that are no iterator are handed whole to every step. The step is compiled
    by itself and dispatched again and again, ahead of the device, so that it always has
    work. Only inside a caller's own ``jit`` or ``vmap``, where nothing can be
    dispatched, is this a ``jax.lax.scan``, in which a CPU convolves several times
    slower (https://github.com/jax-ml/jax/issues/12868).

    A step is compiled once for equal steps (so keep the function and pass it again) and
    for each shape of its arguments; arrays that it closes over are arguments of the
    compiled program and not copied into it. The carry is donated: it lives in one
    place, and the arrays that were given are gone.

    Args:
        function: the public function, for what is refused.
        step: pure and hashable; i is an int32 scalar. Once it says stop, later steps
            must say so too: the device is asked every few steps, and all processes that
            share it ask at the same ones.
        carry: a pytree of arrays, of the same shapes and dtypes before and after.
        given: a pytree of arrays, the same for each step.
        batches: an iterator of pytrees of arrays, or one pytree of arrays.
        length: how many steps there are, unless the iterator has fewer batches. The
            results have as many places, with zeros for steps that were not made.
    """
    stream = isinstance(batches, Iterator)
    steps = Steps(function, step, carry, given, length)
    each = batches if stream else itertools.repeat(batches)
    for count, batch in enumerate(itertools.islice(each, length)):
        if (stream or not count) and not steps.prepare(batch, stream):
            numbers = jnp.arange(length, dtype=jnp.int32)
            return jax.lax.scan(
                lambda carry, i: step(i, carry, given, batches)[:2], carry, numbers
            )
        if steps.dispatch():
            break
    return steps.carry_and_results()


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
        self._made = 0
        self._stop: jax.Array | None = None

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
            program = _program(self._step, traced.jaxpr, _shardings(self._carry))
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
                _zeros(self._mesh, self._length, y) for y in jax.tree.leaves(shapes)
            ]
        if shapes != self._shapes:
            first, now = (
                [y.shape for y in jax.tree.leaves(tree)]
                for tree in (self._shapes, shapes)
            )
            raise TypeError(
                f"{self._function} needs a loss_fn with aux of one shape for all "
                f"batches, got shapes {first} and then {now}."
            )

    def dispatch(self) -> bool:
        """Dispatches the step; returns whether an earlier one is seen to have stopped.

        After every few steps the one that is as many back is asked for: the device has
        work meanwhile, and the batches that it has not seen yet hold 32 MB at most.
        """
        self._i, self._carry, self._results, stop = self._program(
            self._i, self._carry, self._results, self._rest
        )
        self._made += 1
        if self._made % self._few:
            return False
        earlier, self._stop = self._stop, stop
        return earlier is not None and bool(earlier)

    def carry_and_results(self) -> tuple[PyTree, PyTree]:
        """Returns the last carry and the stacked results, None without any batch."""
        results = jax.tree.structure(self._shapes)
        return (
            jax.tree.unflatten(self._tree, self._carry),
            jax.tree.unflatten(results, self._results),
        )


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
        consts: Arrays, i: jax.Array, carry: Arrays, results: Arrays, rest: Arrays
    ) -> tuple[jax.Array, Arrays, Arrays, jax.Array]:
        *out, stop = jax.core.eval_jaxpr(jaxpr.jaxpr, consts, i, *carry, *rest)
        write = jax.lax.dynamic_update_index_in_dim
        results = [write(a, y, i, 0) for a, y in zip(results, out[size:], strict=True)]
        return i + 1, _keep_shardings(out[:size], shardings), results, stop

    compiled = jax.jit(program, donate_argnums=(1, 2, 3))
    return functools.partial(compiled, jaxpr.consts)


def mesh_of(tree: PyTree) -> Devices:
    """Returns the mesh of the first array on several devices, None without one."""
    for leaf in jax.tree.leaves(tree):
        sharding = _several(leaf)
        if sharding is not None:
            return sharding.mesh
    return None


def on_mesh(mesh: Devices, tree: PyTree) -> PyTree:
    """Returns the arrays on the devices of a mesh, whole on each if they were not."""
    if mesh is None:
        return tree
    whole = NamedSharding(mesh, PartitionSpec())
    return jax.tree.map(
        lambda leaf: jax.device_put(leaf, whole) if _several(leaf) is None else leaf,
        tree,
    )


def made_on_mesh(
    mesh: Devices, make: Callable[..., PyTree], *arguments: PyTree
) -> PyTree:
    """Returns what a function makes of the arguments, on the devices of a mesh if any.

    Without a mesh it is compiled. With one it is run as it is, so that what it makes is
    sharded like what that is made of: inside ``jit`` XLA would choose.
    """
    if mesh is None:
        return jax.jit(make)(*arguments)
    return on_mesh(mesh, make(*arguments))


def _zeros(mesh: Devices, length: int, y: jax.ShapeDtypeStruct) -> jax.Array:
    """Returns zeros to hold that many arrays like y, spread as they are."""
    zeros = jnp.zeros((length, *y.shape), y.dtype)
    if mesh is None:
        return zeros
    spec = getattr(y.sharding, "spec", ())
    spread = NamedSharding(mesh, PartitionSpec(None, *spec))
    placed: jax.Array = jax.device_put(zeros, spread)
    return placed


def _shardings(leaves: Arrays) -> Shardings:
    """Returns how each array is sharded, None where XLA could not change it."""
    found = [_several(leaf) for leaf in leaves]
    return tuple(
        sharding if sharding and AxisType.Auto in sharding.mesh.axis_types else None
        for sharding in found
    )


def _keep_shardings(leaves: Arrays, shardings: Shardings) -> Arrays:
    """Returns the arrays of a program with those shardings."""
    constrained: Callable[..., jax.Array] = jax.lax.with_sharding_constraint
    return [
        leaf if sharding is None else constrained(leaf, sharding)
        for leaf, sharding in zip(leaves, shardings, strict=True)
    ]


def _several(leaf: Any) -> NamedSharding | None:
    """Returns the sharding of an array over several devices, None of any other."""
    if isinstance(leaf, jax.core.Tracer):
        return None
    sharding = getattr(leaf, "sharding", None)
    several = isinstance(sharding, NamedSharding) and sharding.mesh.size > 1
    return sharding if several else None

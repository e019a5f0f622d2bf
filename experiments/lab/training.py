"""The training loop: every run of every arm, a stretch of steps at a time.

    training = Training(task, arms, seeds=5, data=data, batches=batches, until=10)
    for stretch in training.go_on(training.start()):
        print(stretch.runs.figures[:, -1])

A run is an arm with a seed. Runs of equal seed start from the same weights and see the
same batches in the same order. The runs are spread over the devices; what devices are
left share each run's batches, if the task lets them.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property, partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from numpy.typing import NDArray

from lab.devices import awaited, each_run, make_mesh

Role = Literal["fixed", "baseline", "peer", "cyclical"]
Optimizers = tuple[optax.GradientTransformation, ...]
EACH, WHOLE = PartitionSpec("runs"), PartitionSpec()


@dataclass(frozen=True, eq=False)
class Arm:
    """A way to train: the words for it, what it is for, its rate, its optimizer.

    The baseline is what the others are measured by. `numbers` are what the optimizer's
    update takes beside the gradients, by step: arms that differ in nothing but their
    numbers share an optimizer, and with it one compiled program.
    """

    about: str
    role: Role
    rate: optax.Schedule
    optimizer: optax.GradientTransformation
    numbers: Mapping[str, optax.Schedule] = field(default_factory=dict)


def by_step(make: Callable[..., Any]) -> optax.GradientTransformationExtraArgs:
    """An optimizer whose hyperparameters are numbers that come with each step.

    So, one compiled program serves all arms that differ in nothing else.
    """

    def update(gradients: Any, state: Any, params: Any = None, **numbers: Any) -> Any:
        return make(**numbers).update(gradients, state, params)

    return optax.GradientTransformationExtraArgs(make(0.0).init, update)


def warmup_cosine(peak: float, steps: int) -> optax.Schedule:
    """From 0 to the peak in a tenth of the steps, then half a cosine down to 0."""
    return optax.warmup_cosine_decay_schedule(0.0, peak, steps // 10, steps)


@dataclass(frozen=True)
class Task:
    """What is trained, as functions of one run that JAX can trace.

    `rest` is what a run carries along beside its weights, `data` what all runs see.
    """

    init: Callable[[jax.Array], tuple[Any, Any]]  # key -> params, rest
    # params, rest, batch, data -> gradients, figures of the step, rest
    gradient: Callable[[Any, Any, Any, Any], tuple[Any, Any, Any]]
    # params, rest, figures of all steps, data -> figures of the stretch
    figures: Callable[[Any, Any, Any, Any], jax.Array]
    shared: bool = False  # whether devices may share a batch


class State(NamedTuple):
    """What training changes; every leaf has a leading axis of runs, arm by arm."""

    params: Any
    opt_state: Any
    rest: Any


def trained(state: State) -> Any:
    """The weights as they are trained; another function gives their average, say."""
    return state.params


def schedule_free_weights(state: State) -> Any:
    """The average at which Schedule-Free is evaluated."""
    return optax.contrib.schedule_free_eval_params(state.opt_state, state.params)


class Runs(NamedTuple):
    """Where all runs are: their figures, (runs, stretches, figures), and their state.

    The state has more runs than the figures where these do not fill the devices.
    `seconds` is what they took so far, compiling included.
    """

    figures: NDArray[np.float32]
    state: State
    seconds: float = 0.0

    @property
    def done(self) -> int:
        """How many stretches are done."""
        return int(self.figures.shape[1])


class Stretch(NamedTuple):
    """The runs after a stretch, the seconds it took, and those of compiling."""

    runs: Runs
    seconds: float
    compile_seconds: float


@dataclass(frozen=True)
class Training:
    """All arms on all seeds, for so many stretches of steps.

    `batches(seed, number)` are those of a seed in a stretch, a step each; all stretches
    have equally many. The optimizers' states must be alike in structure: give a fixed
    rate as a schedule. Figures and scores are of the `weights` of a run's state.
    """

    task: Task
    arms: Mapping[str, Arm]
    seeds: int
    data: Any
    batches: Callable[[int, int], Any]
    until: int
    weights: Callable[[State], Any] = trained

    @property
    def count(self) -> int:
        """How many runs there are."""
        return len(self.arms) * self.seeds

    @cached_property
    def mesh(self) -> Mesh:
        """The devices."""
        return make_mesh(self.count, self.task.shared)

    @cached_property
    def optimizers(self) -> Optimizers:
        """Those of all arms, each once."""
        return tuple(dict.fromkeys(arm.optimizer for arm in self.arms.values()))

    @cached_property
    def lineup(self) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]:
        """Each run's arm, optimizer and seed, by number.

        The first runs come again at the end where all do not fill the devices.
        """
        across = self.mesh.shape["runs"]
        filled = math.ceil(self.count / across) * across
        runs = np.resize(np.arange(self.count, dtype=np.int32), filled)
        arm, seed = np.divmod(runs, self.seeds)
        used = [self.optimizers.index(arm.optimizer) for arm in self.arms.values()]
        return arm, np.array(used, np.int32)[arm], seed

    def start(self) -> Runs:
        """The runs before the first step: the same weights for every arm of a seed."""
        _, optimizer, seed = self.lineup
        begin = _beginning(self.task, self.optimizers, self.mesh, self.seeds)
        figures = np.zeros((self.count, 0, 0), np.float32)
        return Runs(figures, begin(optimizer, seed))

    def go_on(self, runs: Runs) -> Iterator[Stretch]:
        """Yields the runs after each stretch as soon as it is done."""
        if runs.done >= self.until:
            return
        started = time.perf_counter()
        data = jax.device_put(self.data, NamedSharding(self.mesh, WHOLE))
        program = _advancing(self.task, self.weights, self.optimizers, self.mesh)
        traced = program.lower(*self._arguments(runs.state, runs.done, data))
        compiled = traced.compile()  # which JAX keeps for equal shapes
        compile_seconds = time.perf_counter() - started
        runs = runs._replace(seconds=runs.seconds + compile_seconds)

        for number in range(runs.done, self.until):
            started = time.perf_counter()
            state, new = compiled(*self._arguments(runs.state, number, data))
            figures = awaited(new)[: self.count, None]
            if number:
                figures = np.append(runs.figures, figures, axis=1)
            seconds = time.perf_counter() - started
            runs = Runs(figures, state, runs.seconds + seconds)
            yield Stretch(runs, seconds, compile_seconds)

    def score(
        self, of_one: Callable[[Any, Any, Any], jax.Array], runs: Runs, data: Any
    ) -> NDArray[np.float32]:
        """What a function of weights, rest and data says of each run."""
        scoring = _scoring(of_one, self.weights, self.mesh)
        return awaited(scoring((runs.state,), (data,)))[: self.count]

    def _arguments(self, state: State, number: int, data: Any) -> tuple[Any, Any]:
        """What is each run's own in a stretch, and what all runs share."""
        arm, optimizer, seed = self.lineup
        by_seed = [self.batches(k, number) for k in range(self.seeds)]
        batches = jax.tree.map(lambda *leaves: np.stack(leaves), *by_seed)
        steps = jax.tree.leaves(batches)[0].shape[1]
        now = jnp.arange(number * steps, (number + 1) * steps)
        by_arm = [
            {name: _values(schedule, now) for name, schedule in each.numbers.items()}
            for each in self.arms.values()
        ]
        numbers = jax.tree.map(lambda *rows: np.stack(rows)[arm], *by_arm)
        batches = jax.device_put(batches, NamedSharding(self.mesh, WHOLE))
        return (state, optimizer, seed, numbers), (batches, data)


def over_runs(
    of_one: Callable[..., Any],
    mesh: Mesh,
    own: tuple[Any, ...],
    shared: tuple[Any, ...],
) -> Any:
    """A function's values for all runs, given what each has of its own and shares.

    The mesh's other axis is left to XLA: it divides batches and adds gradients.
    """

    @partial(
        jax.shard_map,
        mesh=mesh,
        in_specs=(EACH, WHOLE),
        out_specs=EACH,
        axis_names={"runs"},
        check_vma=False,
    )
    def spread(own: tuple[Any, ...], shared: tuple[Any, ...]) -> Any:
        return each_run(lambda *run: of_one(*run, *shared), own)

    return spread(own, shared)


def advance(
    task: Task,
    weights: Callable[[State], Any],
    optimizers: Optimizers,
    state: State,
    which: jax.Array,
    seed: jax.Array,
    numbers: Any,
    batches: Any,
    data: Any,
) -> tuple[State, jax.Array]:
    """A run after a step for each batch of its seed, and its figures."""

    def step(state: State, x: Any) -> tuple[State, Any]:
        batch, numbers = x
        params, opt_state, rest = state
        gradients, figures, rest = task.gradient(params, rest, batch, data)
        updates, opt_state = jax.lax.switch(
            which,
            [partial(optimizer.update, **numbers) for optimizer in optimizers],
            gradients,
            opt_state,
            params,
        )
        return State(optax.apply_updates(params, updates), opt_state, rest), figures

    ours = jax.tree.map(lambda leaf: leaf[seed], batches)
    state, figures = jax.lax.scan(step, state, (ours, numbers))
    return state, task.figures(weights(state), state.rest, figures, data)


@cache
def _beginning(task: Task, optimizers: Optimizers, mesh: Mesh, seeds: int) -> Any:
    """A program: the state before the first step of runs with such seeds."""

    @partial(jax.jit, out_shardings=NamedSharding(mesh, EACH))
    def begin(which: jax.Array, seed: jax.Array) -> State:
        keys = jax.vmap(jax.random.key)(jnp.arange(seeds))
        params, rest = jax.vmap(task.init)(keys)
        states = [jax.vmap(optimizer.init)(params) for optimizer in optimizers]
        opt_state = jax.tree.map(
            lambda *leaves: jnp.stack(leaves)[which, seed], *states
        )
        params, rest = jax.tree.map(lambda leaf: leaf[seed], (params, rest))
        return State(params, opt_state, rest)

    return begin


@cache
def _advancing(
    task: Task, weights: Callable[[State], Any], optimizers: Optimizers, mesh: Mesh
) -> Any:
    """A program: all runs advanced. The state stays spread, figures are everywhere."""
    of_one = partial(advance, task, weights, optimizers)
    shardings = NamedSharding(mesh, EACH), NamedSharding(mesh, WHOLE)
    return jax.jit(partial(over_runs, of_one, mesh), out_shardings=shardings)


@cache
def _scoring(
    of_one: Callable[[Any, Any, Any], jax.Array],
    weights: Callable[[State], Any],
    mesh: Mesh,
) -> Any:
    """A program: the function's values for all runs."""

    def of_state(state: State, data: Any) -> jax.Array:
        return of_one(weights(state), state.rest, data)

    return jax.jit(partial(over_runs, of_state, mesh))


def _values(schedule: optax.Schedule, steps: jax.Array) -> NDArray[np.float32]:
    """A schedule's values; some schedules take one step at a time only."""

    def at(step: jax.Array) -> jax.Array:
        return jnp.asarray(schedule(step), jnp.float32)

    return np.asarray(jax.vmap(at)(steps))

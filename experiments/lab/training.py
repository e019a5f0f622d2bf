"""The training loop: every run of every arm, an epoch at a time, one compiled program.

    runs = start(optimizers, seeds=5)
    for epoch in train(optimizers, data, runs, epochs=10, batch_size=64):
        print(epoch.runs.history.last("CLR", "val_accuracy"))

A run is an arm (an optimizer) with a seed. Runs of equal seed start from the same
weights and see the same batches in the same order. The runs are spread over the
devices; what devices are left share each run's batches.
"""

import math
import time
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from lab import network
from lab.data import FashionMNIST
from lab.devices import awaited, make_mesh, pace
from lab.history import History, Runs

Optimizers = Mapping[str, optax.GradientTransformation]


class State(NamedTuple):
    """What training changes; every leaf has a leading axis of runs, arm by arm."""

    params: Any
    opt_state: Any


class Epoch(NamedTuple):
    """The runs after an epoch, the seconds it took, and those of compiling them all."""

    runs: Runs
    seconds: float
    compile_seconds: float


def start(optimizers: Optimizers, seeds: int) -> Runs:
    """The runs before the first step: the same weights for every arm of a seed."""

    def initial(optimizer: optax.GradientTransformation, key: jax.Array) -> State:
        params = network.initial_weights(key)
        return State(params, optimizer.init(params))

    mesh = make_mesh(len(optimizers) * seeds)

    @partial(jax.jit, out_shardings=NamedSharding(mesh, PartitionSpec("runs")))
    def initial_state() -> State:
        keys = jax.vmap(jax.random.key)(jnp.arange(seeds))
        arms = [jax.vmap(partial(initial, o))(keys) for o in optimizers.values()]
        state: State = jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *arms)
        return state

    return Runs(History.empty(optimizers, seeds), initial_state())


def train(
    optimizers: Optimizers,
    data: FashionMNIST,
    runs: Runs,
    *,
    epochs: int,
    batch_size: int,
) -> Iterator[Epoch]:
    """Yields each epoch as soon as it is done, until `epochs` are.

    The optimizers' states must be alike in structure: give a fixed rate as a schedule.
    """
    history, state = runs
    if history.epochs >= epochs:
        return
    count = len(optimizers) * history.seeds
    mesh = make_mesh(count)
    everywhere = NamedSharding(mesh, PartitionSpec())
    arrays = jax.device_put((data.train, data.test), everywhere)
    arms, seeds = np.divmod(np.arange(count, dtype=np.int32), history.seeds)

    started = time.perf_counter()
    program = jax.jit(
        partial(train_epoch, mesh, tuple(optimizers.values()), batch_size),
        out_shardings=(NamedSharding(mesh, PartitionSpec("runs")), everywhere),
    )
    done = np.int32(history.epochs)
    compiled = program.lower(state, (arms, seeds), done, arrays).compile()
    compile_seconds = time.perf_counter() - started

    for number in range(history.epochs, epochs):
        started = time.perf_counter()
        state, metrics = compiled(state, (arms, seeds), np.int32(number), arrays)
        history = history.add(awaited(metrics))
        seconds = time.perf_counter() - started
        yield Epoch(Runs(history, state), seconds, compile_seconds)


def train_epoch(
    mesh: Mesh,
    optimizers: tuple[optax.GradientTransformation, ...],
    batch_size: int,
    state: State,
    runs: Any,
    number: Any,
    arrays: Any,
) -> tuple[State, jax.Array]:
    """One epoch of all runs: their new state and their metrics, of shape (runs, 4)."""
    runs_axis, whole = PartitionSpec("runs"), PartitionSpec()

    # along "data" XLA divides batches and adds gradients
    @partial(
        jax.shard_map,
        mesh=mesh,
        in_specs=(runs_axis, runs_axis, whole, whole),
        out_specs=runs_axis,
        axis_names={"runs"},
        check_vma=False,
    )
    def local_runs(state: State, runs: Any, number: Any, arrays: Any) -> Any:
        each, at_once = pace(mesh.devices.flat[0].platform, batch_size)
        shared = optimizers, batch_size, at_once, number, arrays
        return each(partial(_one_run, *shared), (state, runs))

    trained: tuple[State, jax.Array] = local_runs(state, runs, number, arrays)
    return trained


def _one_run(
    optimizers: tuple[optax.GradientTransformation, ...],
    batch_size: int,
    at_once: int,
    number: jax.Array,
    arrays: Any,
    state: State,
    run: tuple[jax.Array, jax.Array],
) -> tuple[State, jax.Array]:
    """One epoch of one run, evaluation included."""
    train, test = arrays
    arm, seed = run
    key = jax.random.fold_in(jax.random.key(seed), number)
    order_key, dropout_key = jax.random.split(key)
    along_data = PartitionSpec("data")
    shared_out = partial(jax.lax.with_sharding_constraint, shardings=along_data)

    def step(state: State, batch: jax.Array) -> tuple[State, jax.Array]:
        def add_part(total: Any, part: jax.Array) -> tuple[Any, None]:
            images, labels = shared_out(train.images[part]), train.labels[part]
            # each image has its own key, so that the parts don't matter
            keys = jax.vmap(partial(jax.random.fold_in, dropout_key))(part)

            def loss_fn(params: Any) -> tuple[jax.Array, jax.Array]:
                sums = network.score_sums(params, images, labels, part >= 0, keys)
                return sums[0], sums

            gradients_and_sums = jax.grad(loss_fn, has_aux=True)(state.params)
            return jax.tree.map(jnp.add, total, gradients_and_sums), None

        zeros = jax.tree.map(jnp.zeros_like, state.params), jnp.zeros(2)
        (gradients, sums), _ = jax.lax.scan(add_part, zeros, batch)
        size = (batch >= 0).sum()
        updates, opt_state = jax.lax.switch(
            arm,
            [o.update for o in optimizers],
            jax.tree.map(lambda gradient: gradient / size, gradients),
            state.opt_state,
            state.params,
        )
        return State(optax.apply_updates(state.params, updates), opt_state), sums

    def evaluate(carry: None, part: jax.Array) -> tuple[None, jax.Array]:
        images, labels = shared_out(test.images[part]), test.labels[part]
        return carry, network.score_sums(state.params, images, labels, part >= 0)

    order = jax.random.permutation(order_key, len(train.images))
    batch_size = min(batch_size, len(order))
    even = math.ceil(batch_size / math.ceil(batch_size / at_once))
    batches = jax.vmap(partial(_rows, size=even))(_rows(order, batch_size))
    # a scan is the fast form on the CPU too: the model has no convolution primitive
    state, train_sums = jax.lax.scan(step, state, batches)
    in_order = jnp.arange(len(test.images))
    test_parts = _rows(in_order, min(at_once, len(test.images)))
    _, test_sums = jax.lax.scan(evaluate, None, test_parts)
    train_means = train_sums.sum(axis=0) / len(train.images)
    test_means = test_sums.sum(axis=0) / len(test.images)
    return state, jnp.concatenate([train_means, test_means])


def _rows(indices: jax.Array, size: int) -> jax.Array:
    """indices as rows of `size`; -1 fills up the last row."""
    rows = math.ceil(len(indices) / size)
    padding = (0, rows * size - len(indices))
    return jnp.pad(indices, padding, constant_values=-1).reshape(rows, size)

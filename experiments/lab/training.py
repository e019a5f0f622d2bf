"""The training loop: every run of every arm, an epoch at a time, one compiled program.

    runs = start(optimizers, seeds=5)
    for epoch in train(optimizers, data, runs, epochs=10, batch_size=64):
        print(epoch.runs.history.last("CLR", "val_accuracy"))

A run is an arm (an optimizer) with a seed. Runs of equal seed start from the same
weights and see the same batches in the same order. The runs are spread over the
devices; what devices are left share each run's batches.
"""

import time
from collections.abc import Iterator, Mapping
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import NamedSharding, PartitionSpec

from lab import network
from lab.data import FashionMNIST
from lab.devices import make_mesh
from lab.epoch import State, train_epoch
from lab.history import History, Runs

Optimizers = Mapping[str, optax.GradientTransformation]


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
        while not metrics.is_ready():  # not block_until_ready, which delays Ctrl-C
            time.sleep(0.01)
        history = history.add(np.asarray(metrics))
        seconds = time.perf_counter() - started
        yield Epoch(Runs(history, state), seconds, compile_seconds)

"""The training loop: every run of every arm, an epoch at a time, one compiled program.

    for epoch in train(optimizers, data, seeds=5, epochs=10, batch_size=64):
        print(epoch.number, epoch.metrics["CLR"])

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
from dataset import FashionMNIST
from flax import nnx
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from model import CNN

METRICS = ("loss", "accuracy", "val_loss", "val_accuracy")
EVALUATION_BATCH = 100  # fits a CPU's cache: 1000 at a time take three times as long


class State(NamedTuple):
    """What training changes; every leaf has a leading axis of runs, arm by arm."""

    params: Any
    opt_state: Any


class Epoch(NamedTuple):
    """An epoch that is done: its number from 1, its figures, the state after it.

    `metrics[arm]` has shape (seeds, 4), in the order of METRICS.
    """

    number: int
    metrics: dict[str, np.ndarray]
    state: State
    seconds: float
    compile_seconds: float  # 0 but for the first

    @property
    def figures(self) -> np.ndarray:
        """The metrics as an epoch of a history, (arms, seeds, 1, metrics)."""
        return np.stack(list(self.metrics.values()))[:, :, None]


def make_mesh(runs: int) -> Mesh:
    """All devices: as many along the runs as divide these, the rest along the data."""
    across = math.gcd(runs, jax.device_count())
    return jax.make_mesh(
        (across, jax.device_count() // across),
        ("runs", "data"),
        axis_types=(AxisType.Auto, AxisType.Auto),
    )


def train(
    optimizers: Mapping[str, optax.GradientTransformation],
    data: FashionMNIST,
    *,
    seeds: int,
    epochs: int,
    batch_size: int,
    resume: tuple[int, State] | None = None,
) -> Iterator[Epoch]:
    """Yields each epoch as soon as it is done; `resume` is (epochs done, their state).

    The optimizers' states must be alike in structure: give a fixed rate as a schedule.
    """
    mesh = make_mesh(len(optimizers) * seeds)
    everywhere = NamedSharding(mesh, PartitionSpec())
    done, state = resume or (0, initial_state(optimizers, seeds))
    arrays = jax.device_put(data[:4], everywhere)
    arms, seed = np.divmod(np.arange(len(optimizers) * seeds, dtype=np.int32), seeds)

    started = time.perf_counter()
    program = jax.jit(
        partial(_epoch, mesh, tuple(optimizers.values()), batch_size),
        out_shardings=(NamedSharding(mesh, PartitionSpec("runs")), everywhere),
    )
    compiled = program.lower(state, (arms, seed), np.int32(done), arrays).compile()
    compile_seconds = time.perf_counter() - started

    for number in range(done, epochs):
        started = time.perf_counter()
        state, metrics = compiled(state, (arms, seed), np.int32(number), arrays)
        while not metrics.is_ready():  # not block_until_ready, which delays Ctrl-C
            time.sleep(0.01)
        table = np.asarray(metrics).reshape(len(optimizers), seeds, len(METRICS))
        seconds = time.perf_counter() - started
        figures = dict(zip(optimizers, table, strict=True))
        yield Epoch(number + 1, figures, state, seconds, compile_seconds)
        compile_seconds = 0.0


def initial_state(
    optimizers: Mapping[str, optax.GradientTransformation], seeds: int
) -> State:
    """The state before the first step: the same weights for every arm of a seed."""

    def initial(optimizer: optax.GradientTransformation, key: jax.Array) -> State:
        params = nnx.state(CNN(nnx.Rngs(key)), nnx.Param)
        return State(params, optimizer.init(params))

    mesh = make_mesh(len(optimizers) * seeds)

    @partial(jax.jit, out_shardings=NamedSharding(mesh, PartitionSpec("runs")))
    def initial_runs() -> State:
        keys = jax.vmap(jax.random.key)(jnp.arange(seeds))
        arms = [jax.vmap(partial(initial, o))(keys) for o in optimizers.values()]
        return jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *arms)

    return initial_runs()


def _epoch(mesh, optimizers, batch_size, state, runs, number, arrays):
    """One epoch of all runs: their new state and their metrics, of shape (runs, 4)."""
    runs_axis, whole = PartitionSpec("runs"), PartitionSpec()

    # Along "data" XLA divides batches and adds gradients.
    @partial(
        jax.shard_map,
        mesh=mesh,
        in_specs=(runs_axis, runs_axis, whole, whole),
        out_specs=runs_axis,
        axis_names={"runs"},
        check_vma=False,
    )
    def local_runs(state, runs, number, arrays):
        one_run = partial(_run_epoch, optimizers, batch_size, number, arrays)
        return _each(mesh.devices.flat[0].platform)(one_run, (state, runs))

    return local_runs(state, runs, number, arrays)


def _each(platform):
    """How a device takes its runs, whose weights differ: as (function, arguments).

    One run keeps a CPU core busy, and a batch of runs, with larger arrays, takes 1.7
    times as long as one after the other. A GPU or TPU is hardly used by one.
    """
    if platform == "cpu":
        return lambda one_run, args: jax.lax.map(lambda xs: one_run(*xs), args)
    return lambda one_run, args: jax.vmap(one_run)(*args)


def _run_epoch(optimizers, batch_size, number, arrays, state, run):
    """One epoch of one run, evaluation included."""
    train_images, train_labels, test_images, test_labels = arrays
    arm, seed = run
    key = jax.random.fold_in(jax.random.key(seed), number)
    order_key, dropout_key = jax.random.split(key)

    def divide(batch):
        return jax.lax.with_sharding_constraint(batch, PartitionSpec("data"))

    def step(state, batch):
        indices, weights, key = batch
        images = divide(train_images[indices])
        labels = train_labels[indices]

        def loss_fn(params):
            losses, correct = _score(params, images, labels, dropout=key)
            loss = losses @ weights
            return loss / weights.sum(), jnp.stack([loss, correct @ weights])

        gradients, sums = jax.grad(loss_fn, has_aux=True)(state.params)
        updates, opt_state = jax.lax.switch(
            arm,
            [o.update for o in optimizers],
            gradients,
            state.opt_state,
            state.params,
        )
        return State(optax.apply_updates(state.params, updates), opt_state), sums

    def evaluate(carry, batch):
        indices, weights = batch
        images = divide(test_images[indices])
        losses, correct = _score(state.params, images, test_labels[indices])
        return carry, jnp.stack([losses @ weights, correct @ weights])

    order = jax.random.permutation(order_key, len(train_images))
    indices, weights = _batches(order, batch_size)
    keys = jax.random.split(dropout_key, len(indices))
    # a scan is the fast form on the CPU too: the model has no convolution primitive
    state, train_sums = jax.lax.scan(step, state, (indices, weights, keys))
    in_order = jnp.arange(len(test_images))
    test_batches = _batches(in_order, min(EVALUATION_BATCH, len(test_images)))
    _, test_sums = jax.lax.scan(evaluate, None, test_batches)
    train_means = train_sums.sum(axis=0) / len(train_images)
    test_means = test_sums.sum(axis=0) / len(test_images)
    return state, jnp.concatenate([train_means, test_means])


def _score(params, images, labels, dropout=None):
    """Cross-entropy and correctness (0 or 1) of each image."""
    logits = nnx.merge(GRAPH, params)(images, dropout)
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    return losses, (logits.argmax(axis=-1) == labels).astype(jnp.float32)


def _batches(indices, batch_size):
    """indices as rows of batch_size; weight 0 marks what fills up the last row."""
    rows = -(-len(indices) // batch_size)
    padding = (0, rows * batch_size - len(indices))
    weights = jnp.ones(len(indices))
    return tuple(jnp.pad(a, padding).reshape(rows, -1) for a in (indices, weights))


GRAPH = nnx.graphdef(nnx.eval_shape(lambda: CNN(nnx.Rngs(0))))

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
        each, at_once = _pace(mesh.devices.flat[0].platform, batch_size)
        one_run = partial(_run_epoch, optimizers, batch_size, at_once, number, arrays)
        return each(one_run, (state, runs))

    return local_runs(state, runs, number, arrays)


def _pace(platform, batch_size):
    """How a device takes its runs and their images: what suits its size.

    Returns a function of (one_run, arguments), and how many images go through the
    network at a time. What 32 images need fits a CPU's cache: a batch of 64 takes 0.6
    times as long in two halves. One run keeps a core busy, and a batch of runs takes
    1.7 times as long as one after the other. A GPU or TPU is hardly used by one.
    """
    if platform == "cpu":
        return lambda one_run, args: jax.lax.map(lambda xs: one_run(*xs), args), 32
    return lambda one_run, args: jax.vmap(one_run)(*args), max(batch_size, 1000)


def _run_epoch(optimizers, batch_size, at_once, number, arrays, state, run):
    """One epoch of one run, evaluation included."""
    train_images, train_labels, test_images, test_labels = arrays
    arm, seed = run
    key = jax.random.fold_in(jax.random.key(seed), number)
    order_key, dropout_key = jax.random.split(key)

    def divide(batch):
        return jax.lax.with_sharding_constraint(batch, PartitionSpec("data"))

    def step(state, batch):
        def add_part(total, part):
            images, labels = divide(train_images[part]), train_labels[part]
            # each image has its own key, so that the parts don't matter
            keys = jax.vmap(partial(jax.random.fold_in, dropout_key))(part)

            def loss_fn(params):
                sums = _score(params, images, labels, part >= 0, keys)
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

    def evaluate(carry, part):
        images, labels = divide(test_images[part]), test_labels[part]
        return carry, _score(state.params, images, labels, part >= 0)

    order = jax.random.permutation(order_key, len(train_images))
    batch_size = min(batch_size, len(order))
    even = math.ceil(batch_size / math.ceil(batch_size / at_once))
    batches = jax.vmap(partial(_rows, size=even))(_rows(order, batch_size))
    # a scan is the fast form on the CPU too: the model has no convolution primitive
    state, train_sums = jax.lax.scan(step, state, batches)
    in_order = jnp.arange(len(test_images))
    test_parts = _rows(in_order, min(at_once, len(test_images)))
    _, test_sums = jax.lax.scan(evaluate, None, test_parts)
    train_means = train_sums.sum(axis=0) / len(train_images)
    test_means = test_sums.sum(axis=0) / len(test_images)
    return state, jnp.concatenate([train_means, test_means])


def _score(params, images, labels, counted, keys=None):
    """Sums over the images that are counted: of cross-entropy, of correct answers."""
    logits = nnx.merge(GRAPH, params)(images, keys)
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    correct = logits.argmax(axis=-1) == labels
    return jnp.stack([losses, correct]) @ counted.astype(jnp.float32)


def _rows(indices, size):
    """indices as rows of `size`; -1 fills up the last row."""
    rows = math.ceil(len(indices) / size)
    padding = (0, rows * size - len(indices))
    return jnp.pad(indices, padding, constant_values=-1).reshape(rows, size)


GRAPH = nnx.graphdef(nnx.eval_shape(lambda: CNN(nnx.Rngs(0))))

"""An epoch of all runs, evaluation included, as one program for all devices."""

import math
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from lab import network
from lab.devices import pace


class State(NamedTuple):
    """What training changes; every leaf has a leading axis of runs, arm by arm."""

    params: Any
    opt_state: Any


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

    # Along "data" XLA divides batches and adds gradients.
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
        # with its mesh: JAX before 0.8.2 fails on the bare spec
        along_data = NamedSharding(mesh, PartitionSpec("data"))
        one_run = partial(
            _one_run, optimizers, batch_size, at_once, along_data, number, arrays
        )
        return each(one_run, (state, runs))

    trained: tuple[State, jax.Array] = local_runs(state, runs, number, arrays)
    return trained


def _one_run(
    optimizers: tuple[optax.GradientTransformation, ...],
    batch_size: int,
    at_once: int,
    along_data: NamedSharding,
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

    def divide(batch: jax.Array) -> jax.Array:
        divided: jax.Array = jax.lax.with_sharding_constraint(batch, along_data)
        return divided

    def step(state: State, batch: jax.Array) -> tuple[State, jax.Array]:
        def add_part(total: Any, part: jax.Array) -> tuple[Any, None]:
            images, labels = divide(train.images[part]), train.labels[part]
            # each image has its own key, so that the parts don't matter
            keys = jax.vmap(partial(jax.random.fold_in, dropout_key))(part)

            def loss_fn(params: Any) -> tuple[jax.Array, jax.Array]:
                sums = _sums(params, images, labels, part >= 0, keys)
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
        images, labels = divide(test.images[part]), test.labels[part]
        return carry, _sums(state.params, images, labels, part >= 0)

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


def _sums(
    params: Any,
    images: jax.Array,
    labels: jax.Array,
    counted: jax.Array,
    keys: jax.Array | None = None,
) -> jax.Array:
    """Sums over the images that are counted: of cross-entropy, of correct answers."""
    scores = network.score(params, images, labels, keys)
    return jnp.stack(scores) @ counted.astype(jnp.float32)


def _rows(indices: jax.Array, size: int) -> jax.Array:
    """indices as rows of `size`; -1 fills up the last row."""
    rows = math.ceil(len(indices) / size)
    padding = (0, rows * size - len(indices))
    return jnp.pad(indices, padding, constant_values=-1).reshape(rows, size)

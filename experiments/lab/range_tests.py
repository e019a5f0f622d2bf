"""The learning-rate range test on the tutorial's network, over seeds."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from clr_optax import RangeTest, lr_range_test
from lab import network
from lab.data import Images


def range_test_of_seeds(
    images: Images, optimizer: Any, *, seeds: int, steps: int, batch_size: int
) -> RangeTest:
    """The curves of all seeds, with a leading axis over them."""

    @jax.jit
    def curves_of(images: Images, seeds: jax.Array) -> Any:
        test = partial(_one_test, images, optimizer, steps, batch_size)
        # one seed after the other: side by side, their different weights cost more
        return jax.lax.map(test, seeds)

    stack: RangeTest = curves_of(images, jnp.arange(seeds))
    return stack


def _one_test(
    images: Images, optimizer: Any, steps: int, batch_size: int, seed: jax.Array
) -> RangeTest:
    """The curve of a seed's weights on its batches, which are rows of indices."""
    key = jax.random.key(seed)
    size, count = steps * batch_size, len(images.images)
    epochs = jax.random.split(key, -(-size // count))
    order = jax.vmap(partial(jax.random.permutation, x=count))(epochs)
    return lr_range_test(
        partial(_loss, images),
        network.initial_weights(key),
        order.reshape(-1)[:size].reshape(steps, batch_size),
        min_lr=1e-5,
        max_lr=10.0,
        num_steps=steps,
        optimizer=optimizer,
        key=key,
    )


def _loss(data: Images, params: Any, indices: jax.Array, key: jax.Array) -> jax.Array:
    """The mean cross-entropy of a batch; dropout keys go by place, not by image."""
    keys = jax.random.split(key, len(indices))
    losses, _ = network.score(params, data.images[indices], data.labels[indices], keys)
    return losses.mean()

"""The tutorial's convolutional network in Flax NNX, layer for layer, and its training.

Weights are plain pytrees: whoever trains them differentiates `score`.
"""

import math
from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax.sharding import PartitionSpec

from lab.data import FashionMNIST
from lab.devices import images_at_once
from lab.history import METRICS, History
from lab.layers import conv_pool_by_patches, conv_pool_by_winograd
from lab.training import Arm, Runs, Task, Training


class CNN(nnx.Module):
    """Two 5x5 convolutions, each pooled; dropout of channels; mean; two dense layers.

    18,762 parameters. Kernels are glorot_uniform and biases zero, Keras's defaults
    (Flax's own default kernel is lecun_normal).
    """

    def __init__(self, rngs: nnx.Rngs):
        glorot = nnx.initializers.glorot_uniform()
        conv = partial(
            nnx.Conv, kernel_size=(5, 5), padding="VALID", kernel_init=glorot
        )
        self.conv1 = conv(1, 16, rngs=rngs)
        self.conv2 = conv(16, 32, rngs=rngs)
        self.dropout = nnx.Dropout(0.2, broadcast_dims=(0, 1))  # drops whole channels
        self.dense1 = nnx.Linear(32, 128, kernel_init=glorot, rngs=rngs)
        self.dense2 = nnx.Linear(128, 10, kernel_init=glorot, rngs=rngs)

    def __call__(self, images: jax.Array, keys: jax.Array | None = None) -> jax.Array:
        """Logits, float32 of shape (n, 10), of uint8 images of shape (n, 28, 28).

        In training, `keys` of shape (n,) are each image's random key for the dropout;
        without them nothing is dropped.
        """
        x = images[..., None].astype(jnp.float32) / 255
        # relu commutes with the maximum, and costs a quarter after the pooling
        x = conv_pool_by_patches(x, self.conv1.kernel[...])  # 28 -> 24 -> 12
        x = nnx.relu(x + self.conv1.bias[...])
        x = conv_pool_by_winograd(x, self.conv2.kernel[...])  # 12 -> 8 -> 4
        x = nnx.relu(x + self.conv2.bias[...])
        if keys is not None:
            x = jax.vmap(lambda image, key: self.dropout(image, rngs=key))(x, keys)
        x = x.mean(axis=(1, 2))
        answers: jax.Array = self.dense2(nnx.relu(self.dense1(x)))
        return answers


def initial_weights(key: jax.Array) -> Any:
    """The weights before the first step."""
    return nnx.state(CNN(nnx.Rngs(key)), nnx.Param)


def logits(weights: Any, images: jax.Array, keys: jax.Array | None = None) -> jax.Array:
    """What the network with these weights says of images, of shape (n, 10)."""
    network: CNN = nnx.merge(_GRAPH, weights)
    return network(images, keys)


def score(
    weights: Any,
    images: jax.Array,
    labels: jax.Array,
    keys: jax.Array | None = None,
) -> tuple[jax.Array, jax.Array]:
    """Each image's cross-entropy, and whether the network's answer is right."""
    answers = logits(weights, images, keys)
    losses = optax.softmax_cross_entropy_with_integer_labels(answers, labels)
    return losses, answers.argmax(axis=-1) == labels


def training(
    arms: Mapping[str, Arm],
    data: FashionMNIST,
    *,
    seeds: int,
    epochs: int,
    batch_size: int,
) -> Training:
    """The training of arms, an epoch a stretch, each with the figures of a History."""
    batches = partial(_epoch, len(data.train.images), batch_size)
    return Training(TASK, arms, seeds, (data.train, data.test), batches, epochs)


def history(training: Training, runs: Runs) -> History:
    """The figures of all epochs that are done."""
    shape = len(training.arms), training.seeds, runs.done, len(METRICS)
    return History(tuple(training.arms), runs.figures.reshape(shape))


@partial(jax.jit, static_argnums=(0, 1))
def _epoch(count: int, batch_size: int, seed: int, number: int) -> Any:
    """The batches of an epoch: parts of rows of images, and the dropout's key.

    Of shape (steps, parts, rows); -1 fills up the last batch.
    """
    key = jax.random.fold_in(jax.random.key(seed), number)
    order_key, dropout_key = jax.random.split(key)
    order = jax.random.permutation(order_key, count)
    size = min(batch_size, count)
    at_once = images_at_once(batch_size)
    even = math.ceil(size / math.ceil(size / at_once))
    parts = jax.vmap(partial(_rows, size=even))(_rows(order, size))
    keys = jnp.tile(jax.random.key_data(dropout_key), (len(parts), 1))
    return parts, keys


def _gradient(params: Any, rest: Any, batch: Any, data: Any) -> Any:
    """That of the mean loss of a batch, and the sums of both scores."""
    (train, _), (parts, key) = data, batch
    dropout_key = jax.random.wrap_key_data(key)

    def add_part(total: Any, part: jax.Array) -> tuple[Any, None]:
        # each image has its own key, so that the parts don't matter
        keys = jax.vmap(partial(jax.random.fold_in, dropout_key))(part)

        def loss_fn(params: Any) -> tuple[jax.Array, jax.Array]:
            sums = _score_sums(params, train, part, keys)
            return sums[0], sums

        gradients_and_sums = jax.grad(loss_fn, has_aux=True)(params)
        return jax.tree.map(jnp.add, total, gradients_and_sums), None

    zeros = jax.tree.map(jnp.zeros_like, params), jnp.zeros(2)
    (gradients, sums), _ = jax.lax.scan(add_part, zeros, parts)
    size = (parts >= 0).sum()
    return jax.tree.map(lambda leaf: leaf / size, gradients), sums, rest


def _figures(params: Any, rest: Any, train_sums: Any, data: Any) -> jax.Array:
    """An epoch's METRICS: both scores in training, and those of the test images."""
    train, test = data

    def evaluate(carry: None, part: jax.Array) -> tuple[None, jax.Array]:
        return carry, _score_sums(params, test, part)

    count = len(test.images)
    at_once = images_at_once(1)
    in_order = _rows(jnp.arange(count), min(at_once, count))
    _, test_sums = jax.lax.scan(evaluate, None, in_order)
    train_means = train_sums.sum(axis=0) / len(train.images)
    return jnp.concatenate([train_means, test_sums.sum(axis=0) / count])


def _score_sums(
    weights: Any, images: Any, part: jax.Array, keys: jax.Array | None = None
) -> jax.Array:
    """The sums of both scores over a part of the images, without the -1."""
    along_data = PartitionSpec("data")
    pixels = jax.lax.with_sharding_constraint(images.images[part], along_data)
    scores = jnp.stack(score(weights, pixels, images.labels[part], keys))
    return scores @ (part >= 0).astype(jnp.float32)


def _rows(indices: jax.Array, size: int) -> jax.Array:
    """indices as rows of `size`; -1 fills up the last row."""
    rows = math.ceil(len(indices) / size)
    padding = (0, rows * size - len(indices))
    return jnp.pad(indices, padding, constant_values=-1).reshape(rows, size)


TASK = Task(lambda key: (initial_weights(key), ()), _gradient, _figures, shared=True)
_GRAPH = nnx.graphdef(nnx.eval_shape(lambda: CNN(nnx.Rngs(0))))

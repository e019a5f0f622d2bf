"""The tutorial's convolutional network in Flax NNX, layer for layer, and its score.

Weights are plain pytrees: whoever trains them differentiates `score`.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from lab.layers import conv_pool_by_patches, conv_pool_by_winograd


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


def score_sums(
    weights: Any,
    images: jax.Array,
    labels: jax.Array,
    counted: jax.Array,
    keys: jax.Array | None = None,
) -> jax.Array:
    """The sums of both over the images that are counted."""
    scores = jnp.stack(score(weights, images, labels, keys))
    return scores @ counted.astype(jnp.float32)


_GRAPH = nnx.graphdef(nnx.eval_shape(lambda: CNN(nnx.Rngs(0))))

"""The tutorial's convolutional network in Flax NNX, layer for layer."""

from functools import partial

import jax
import jax.numpy as jnp
from fast_layers import conv_pool_by_patches, conv_pool_by_winograd
from flax import nnx


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
        x = nnx.relu(self.dense1(x))
        return self.dense2(x)

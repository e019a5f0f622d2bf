"""The fast layers against Flax's own, values and gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from lab import layers
from lab.network import CNN

IMAGES = np.random.default_rng(0).integers(0, 256, (8, 28, 28), dtype=np.uint8)


def plain(model: CNN, images, keys=None):
    """The tutorial's layers as Flax has them."""
    x = images[..., None].astype(jnp.float32) / 255
    x = nnx.max_pool(nnx.relu(model.conv1(x)), (2, 2), (2, 2))
    x = nnx.max_pool(nnx.relu(model.conv2(x)), (2, 2), (2, 2))
    if keys is not None:
        x = jax.vmap(lambda image, key: model.dropout(image, rngs=key))(x, keys)
    return model.dense2(nnx.relu(model.dense1(x.mean((1, 2)))))


def assert_close(actual, expected):
    """Within 1e-5 of the largest entry, leaf by leaf."""
    for a, b in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-5 * np.abs(b).max())


def test_the_layers_equal_the_plain_ones():
    graph = nnx.graphdef(nnx.eval_shape(lambda: CNN(nnx.Rngs(0))))
    labels = np.arange(len(IMAGES))

    def values_and_gradients(forward):
        def loss(params, keys):
            logits = forward(nnx.merge(graph, params), IMAGES, keys)
            losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
            return losses.mean(), forward(nnx.merge(graph, params), IMAGES)

        return jax.jit(jax.value_and_grad(loss, has_aux=True))

    fast, slow = map(values_and_gradients, (CNN.__call__, plain))
    for seed in range(3):
        params = nnx.state(CNN(nnx.Rngs(seed)), nnx.Param)
        keys = jax.random.split(jax.random.key(seed), len(IMAGES))
        assert_close(fast(params, keys), slow(params, keys))


@pytest.mark.parametrize("layer", ["conv_pool_by_patches", "conv_pool_by_winograd"])
@pytest.mark.parametrize(
    "shape",
    [
        (3, 12, 12, 5),
        pytest.param((2, 20, 12, 1), marks=pytest.mark.slow),
        pytest.param((1, 28, 28, 2), marks=pytest.mark.slow),
    ],
)
def test_each_layer_alone_equals_convolution_and_pooling(layer, shape):
    keys = jax.random.split(jax.random.key(0), 3)
    x = jax.random.normal(keys[0], shape)
    kernel = jax.random.normal(keys[1], (5, 5, shape[-1], 7))

    def reference(x, kernel):
        y = jax.lax.conv_general_dilated(
            x, kernel, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        return nnx.max_pool(y, (2, 2), (2, 2))

    cotangent = jax.random.normal(keys[2], reference(x, kernel).shape)

    def values_and_gradients(f):
        def f_and_gradients(x, kernel):
            y, pullback = jax.vjp(f, x, kernel)
            return y, pullback(cotangent)

        return jax.jit(f_and_gradients)(x, kernel)

    actual = values_and_gradients(getattr(layers, layer))
    assert_close(actual, values_and_gradients(reference))


def test_a_tie_sends_its_gradient_to_the_first():
    gradient = jax.grad(lambda y: layers.max_of_four(y).sum())
    y = jnp.array([1.0, 3.0, 3.0, 2.0])[:, None]
    np.testing.assert_array_equal(gradient(y)[:, 0], [0, 1, 0, 0])

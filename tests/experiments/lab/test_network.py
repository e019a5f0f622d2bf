"""The network: the tutorial's parameters, and no slow primitive."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from test_layers import IMAGES

from lab.network import CNN


def test_the_model_has_the_tutorials_parameters():
    params = nnx.state(CNN(nnx.Rngs(0)), nnx.Param)
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == 18_762
    assert all((layer["bias"][...] == 0).all() for layer in params.values())
    for name, fans in {
        "conv1": 425,
        "conv2": 1200,
        "dense1": 160,
        "dense2": 138,
    }.items():
        kernel = params[name]["kernel"][...]
        bound = np.sqrt(6 / fans)  # glorot_uniform's, fans = inputs + outputs
        assert 0.9 * bound < np.abs(kernel).max() <= bound
        np.testing.assert_allclose(kernel.std(), bound / 3**0.5, rtol=0.1)


def test_the_model_has_no_convolution_primitive():
    model = CNN(nnx.Rngs(0))
    program = jax.make_jaxpr(jax.grad(lambda x: model(x).sum()))(IMAGES / 1.0)
    assert "conv_general_dilated" not in str(program)
    assert "dot_general" in str(program)


def test_dropout_drops_whole_channels_of_each_image():
    model = CNN(nnx.Rngs(0))
    keys = jax.random.split(jax.random.key(0), 50)
    images = jnp.ones((50, 4, 4, 32))
    y = jax.vmap(lambda image, key: model.dropout(image, rngs=key))(images, keys)
    by_channel = y.reshape(50, 16, 32)
    assert (by_channel == by_channel[:, :1]).all()
    assert len(np.unique(by_channel[:, 0], axis=0)) == 50
    np.testing.assert_allclose((y == 0).mean(), 0.2, atol=0.05)
    np.testing.assert_allclose(y.max(), 1.25)

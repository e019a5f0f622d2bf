"""Range tests of the network over seeds."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from made_data import numbered

from clr_optax import lr_range_test
from lab import network
from lab.data import Images
from lab.range_tests import range_test_of_seeds

MOMENTUM = partial(optax.sgd, momentum=0.9)


@pytest.mark.slow
def test_a_seed_s_curve_is_the_library_s_on_its_weights_and_batches():
    images = Images(*(jnp.asarray(array % 10) for array in numbered(48, 0).train))
    curves = range_test_of_seeds(images, MOMENTUM, seeds=2, steps=20, batch_size=8)
    assert curves.losses.shape == curves.lrs.shape == (2, 20)
    np.testing.assert_allclose(curves.losses[:, 0], np.log(10), rtol=0.1)

    key = jax.random.key(1)
    epochs = [jax.random.permutation(k, 48) for k in jax.random.split(key, 4)]

    def loss_fn(params, rows, key):
        keys = jax.random.split(key, 8)
        losses, _ = network.score(
            params, images.images[rows], images.labels[rows], keys
        )
        return losses.mean()

    expected = lr_range_test(
        loss_fn,
        network.initial_weights(key),
        jnp.concatenate(epochs)[:160].reshape(20, 8),
        min_lr=1e-5,
        num_steps=20,
        optimizer=MOMENTUM,
        key=key,
    )
    np.testing.assert_allclose(curves.lrs[1], expected.lrs, rtol=1e-6)
    np.testing.assert_allclose(curves.losses[1], expected.losses, rtol=1e-4)

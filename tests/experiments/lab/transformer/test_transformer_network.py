"""The transformer and its loss."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lab.transformer.network import Network
from lab.transformer.protocol import SHORT, Settings

VOCABULARY = 11


@pytest.fixture(scope="module")
def network():
    return Network(SHORT, VOCABULARY)


@pytest.fixture(scope="module")
def start(network):
    return network.start(jax.random.key(0))


def batch(seed=0):
    shape = 3, SHORT.context + 1
    rng = np.random.default_rng(seed)
    return rng.integers(0, VOCABULARY, shape, dtype=np.uint8)


def test_it_has_about_half_a_million_parameters():
    network = Network(Settings(), vocabulary=103)
    params, _ = jax.eval_shape(network.start, jax.random.key(0))
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == 536_071


@pytest.mark.slow
def test_a_place_sees_nothing_that_comes_after_it(network, start):
    before = batch()
    after = before.copy()
    after[:, 9] = (after[:, 9] + 1) % VOCABULARY
    losses = [network.score(*start, tokens) for tokens in (before, after)]
    # character 9 is the target of place 8 and the input of place 9
    np.testing.assert_array_equal(losses[0][:, :8], losses[1][:, :8])
    assert (losses[0][:, 8:10] != losses[1][:, 8:10]).all()


def test_equal_logits_cost_the_logarithm_of_the_vocabulary(network, start):
    params, rest = jax.tree.map(jnp.zeros_like, start[0]), start[1]
    losses = network.score(params, rest, batch())
    np.testing.assert_allclose(losses, math.log2(VOCABULARY), rtol=1e-6)


def test_dropout_follows_the_key_and_spares_scores(network, start):
    params, rest = start
    keys = [jax.random.key(seed) for seed in (1, 1, 2)]
    first, again, other = [
        network.loss_fn(params, rest, batch(), key)[0] for key in keys
    ]
    assert first == again
    assert first != other
    assert network.score(params, rest, batch()).mean() not in (first, other)


def test_layers_do_not_drop_alike(network, start):
    _, after = network.loss_fn(*start, batch(), jax.random.key(1))
    streams = [
        jax.random.key_data(leaf).tolist()
        for leaf in jax.tree.leaves(after)
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    ]
    assert len({tuple(stream) for stream in streams}) == len(streams) == 2


def test_the_rest_goes_on_in_the_same_form(network, start):
    params, rest = start
    _, after = network.loss_fn(params, rest, batch(), jax.random.key(1))
    assert jax.tree.structure(after) == jax.tree.structure(rest)
    assert jax.tree.leaves(rest)

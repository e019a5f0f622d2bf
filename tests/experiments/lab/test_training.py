"""The compiled epoch against a plain loop over batches, with Flax's own layers."""

from functools import partial

import jax
import numpy as np
import optax
import pytest
from flax import nnx
from made_data import random_images
from test_layers import plain

from lab import network, training
from lab.network import CNN
from lab.training import Arm

RATES = {
    "slow": optax.constant_schedule(0.01),
    "fast": optax.linear_schedule(0.1, 0.0, 5),
}
ARMS = {name: Arm("", "peer", rate, optax.sgd(rate)) for name, rate in RATES.items()}
ARMS["fast again"] = ARMS["fast"]


@pytest.fixture(scope="module")
def data():
    return random_images(90, 50)


GRAPH = nnx.graphdef(nnx.eval_shape(lambda: CNN(nnx.Rngs(0))))


@jax.jit
def score(params, images, labels, keys=None):
    """The mean loss and accuracy of the plain network."""
    logits = plain(nnx.merge(GRAPH, params), images, keys)
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    return losses.mean(), (logits.argmax(axis=1) == labels).mean()


gradients_of = jax.jit(jax.value_and_grad(score, has_aux=True))


def plain_epochs(rate, data, seed, epochs, batch_size):
    """The figures after each epoch, and the weights at the end."""
    params = nnx.state(CNN(nnx.Rngs(jax.random.key(seed))), nnx.Param)
    optimizer = optax.sgd(rate)
    state = optimizer.init(params)
    figures = []
    for epoch in range(epochs):
        order_key, dropout_key = jax.random.split(
            jax.random.fold_in(jax.random.key(seed), epoch)
        )
        order = jax.random.permutation(order_key, len(data.train.images))
        sums = np.zeros(2)
        for first in range(0, len(order), batch_size):
            batch = order[first : first + batch_size]
            keys = jax.vmap(partial(jax.random.fold_in, dropout_key))(batch)
            images, labels = data.train.images[batch], data.train.labels[batch]
            means, gradients = gradients_of(params, images, labels, keys)
            sums += len(batch) * np.array(means)
            updates, state = optimizer.update(gradients, state)
            params = optax.apply_updates(params, updates)
        test = score(params, *data.test)
        figures.append([*sums / len(order), *test])
    return np.array(figures), params


def test_nothing_is_compiled_if_no_epoch_is_left(data, monkeypatch):
    done = network.training(ARMS, data, seeds=1, epochs=0, batch_size=40)
    monkeypatch.setattr(training, "advance", None)
    assert not list(done.go_on(done.start()))


# 40: two parts of 20, and 10 images for the last step; 100: more than there are
@pytest.fixture(scope="module", params=[pytest.param(40, marks=pytest.mark.slow), 100])
def batch_size(request):
    return request.param


@pytest.fixture(scope="module")
def trained(data, batch_size):
    """A training of two seeds for two epochs, and its runs at the end."""
    arms = network.training(ARMS, data, seeds=2, epochs=2, batch_size=batch_size)
    *_, last = arms.go_on(arms.start())
    return arms, last.runs


def test_training_equals_a_plain_loop(data, batch_size, trained):
    history = network.history(*trained)
    weights = jax.tree.leaves(trained[1].state.params)
    for arm, rate in enumerate(RATES.values()):
        for seed in range(2):
            figures, params = plain_epochs(rate, data, seed, 2, batch_size)
            np.testing.assert_allclose(history.figures[arm, seed], figures, rtol=1e-5)
            for a, b in zip(weights, jax.tree.leaves(params), strict=True):
                np.testing.assert_allclose(a[2 * arm + seed], b, atol=1e-6)


def test_equal_arms_are_equal_and_seeds_differ(trained):
    """Whatever number an arm has among the others."""
    history = network.history(*trained)
    assert history.arms == tuple(ARMS)
    other, first, again = history.figures
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    assert (first[0] != first[1]).any()

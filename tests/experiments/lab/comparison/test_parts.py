"""The images that choices are made on, range tests over seeds, and snapshots."""

from functools import partial
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from made_data import numbered, random_images

from clr_optax import lr_range_test
from lab import LabError, network
from lab.checkpoints import Checkpoints
from lab.comparison import parts
from lab.comparison.parts import (
    Work,
    accuracies,
    range_tests,
    snapshots,
    softmax_outputs,
    sweeps,
)
from lab.comparison.protocol import Settings, split
from lab.data import Images
from lab.history import METRICS
from lab.training import Arm, Runs, Stretch


def test_the_split_holds_a_twelfth_of_the_training_images():
    data = numbered(240, 30)
    parts = split(data)
    assert (len(parts.train.images), len(parts.test.images)) == (220, 20)
    labels = np.concatenate([parts.train.labels, parts.test.labels])
    np.testing.assert_array_equal(np.sort(labels), np.arange(240))
    images = np.concatenate([parts.train.images, parts.test.images])
    np.testing.assert_array_equal(images, data.train.images[labels])
    assert (split(data).test.labels == parts.test.labels).all()


@pytest.mark.slow
def test_a_seed_s_curve_is_the_library_s_on_its_weights_and_batches():
    images = Images(*(jnp.asarray(array % 10) for array in numbered(48, 0).train))
    curves = range_tests(images, Settings(range_seeds=2, range_steps=20, batch_size=8))
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
        optimizer=partial(optax.sgd, momentum=0.9),
        key=key,
    )
    np.testing.assert_allclose(curves.lrs[1], expected.lrs, rtol=1e-6)
    np.testing.assert_allclose(curves.losses[1], expected.losses, rtol=1e-4)


def test_a_sweep_learns_from_training_images_and_is_scored_on_validation(monkeypatch):
    data = numbered(48, 16)
    called = []

    def recorded(loss, params, batches, *, held_out, **settings):
        called.append((loss.args[0], batches, held_out, settings))

    monkeypatch.setattr(parts, "lr_sweep", recorded)
    settings = Settings(range_seeds=2, sweep_steps=120, held_out=16, batch_size=8)
    assert sweeps(data, settings) == [None, None]
    (images, first, held_out, told), (_, second, _, _) = called
    assert told["num_steps"] == 120
    assert first.shape == (120, 8)
    assert (first != second).any()
    learned, scored = images.labels[first], images.labels[np.stack(held_out)]
    assert set(np.unique(learned)) == set(data.train.labels)
    np.testing.assert_array_equal(scored.reshape(-1), data.test.labels)


@pytest.fixture(scope="module")
def images():
    return random_images(0, 60).test


def work(images, rates, epochs):
    """A training that is scored by the images."""
    data = random_images(48, 0)._replace(test=images)
    arms = {
        str(rate): Arm("", "fixed", rate, optax.sgd(optax.constant_schedule(rate)))
        for rate in rates
    }
    return network.training(arms, data, seeds=2, epochs=epochs, batch_size=16)


@pytest.mark.slow
def test_outputs_are_each_network_s_probabilities(images):
    training = work(images, [0.1], 0)
    outputs = softmax_outputs(training, training.start(), images.images)
    assert outputs.shape == (2, 60, 10)
    np.testing.assert_allclose(outputs.sum(axis=-1), 1, rtol=1e-5)
    for seed in range(2):
        weights = network.initial_weights(jax.random.key(seed))
        expected = jax.nn.softmax(network.logits(weights, images.images))
        np.testing.assert_allclose(outputs[seed], expected, rtol=1e-4)


def test_accuracy_is_the_share_of_right_answers():
    labels = np.array([0, 1, 2, 3])
    right = np.eye(10)[labels]
    half = np.eye(10)[[0, 1, 3, 2]]
    lost = np.full((4, 10), np.nan)
    found = accuracies(np.stack([right, half, lost]), labels)
    np.testing.assert_array_equal(found, [1, 0.5, np.nan])


def test_what_is_told_is_the_accuracy_of_the_best_arm_over_its_seeds():
    figures = np.zeros((4, 1, 4), np.float32)
    figures[:, 0, METRICS.index("val_accuracy")] = 0.5, 0.7, 0.9, 0.1
    runs, said = Runs(figures, None), []

    def train(name, training, told, start, **_):
        said.append(told(Stretch(runs, 1.0, 0.0)))
        return runs

    work = Work(Settings(), SimpleNamespace(train=train), None, None)
    work.train("name", SimpleNamespace(arms=["a", "b"], seeds=2, count=4, until=3))
    assert said == ["epoch 1/3 of 4 runs, 1.0 s, best accuracy 0.6000"]


def test_snapshots_answer_together_by_the_mean_of_their_probabilities(monkeypatch):
    """Neither the first's answer nor the surer one's, but what both hold likely."""
    first = np.array([[[0.5, 0.45, 0.05]], [[0, 1, 0]]])
    last = np.array([[[0, 0.45, 0.55]], [[0, 0, 1]]])
    monkeypatch.setattr(parts, "softmax_outputs", lambda _, outputs, __: outputs)
    training = SimpleNamespace(arms=["a", "b"], seeds=1)
    images = Images(None, np.array([1]))
    assert snapshots(training, [first, first, last], images) == {
        "a": {"together": [1.0], "alone": [0.0]},
        "b": {"together": [1.0], "alone": [0.0]},
    }


@pytest.mark.slow
def test_snapshots_are_those_of_the_epochs_asked_for(tmp_path, images):
    training = work(images, [0.03, 0.3], 4)
    checkpoints = Checkpoints(tmp_path, {}, keep_every=2)
    outputs = []
    for epoch in training.go_on(training.start()):
        checkpoints.save(epoch.runs)
        outputs.append(softmax_outputs(training, epoch.runs, images.images))
    like = training.start()
    ends = [checkpoints.at(epoch, like) for epoch in (2, 4)]
    found = snapshots(training, ends, images)
    together = accuracies((outputs[1] + outputs[3]) / 2, images.labels)
    alone = accuracies(outputs[3], images.labels)
    np.testing.assert_array_equal(found["0.3"]["together"], together[2:])
    np.testing.assert_array_equal(found["0.03"]["alone"], alone[:2])
    with pytest.raises(LabError, match=r"checkpoint 1 .* cannot be read"):
        checkpoints.at(1, like)

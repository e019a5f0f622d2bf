"""Part D: the networks at the ends of their cycles, together and alone."""

import jax
import numpy as np
import optax
import pytest
from made_data import random_images

from lab import network
from lab.arms import Arm
from lab.checkpoints import CheckpointError, Checkpoints
from lab.comparison.snapshots import accuracies, snapshots, softmax_outputs
from lab.training import start, train


@pytest.fixture(scope="module")
def images():
    return random_images(0, 60).test


def test_outputs_are_each_network_s_probabilities(images):
    runs = start({"a": optax.sgd(0.1)}, seeds=2)
    outputs = softmax_outputs(runs, images.images)
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


@pytest.mark.slow
def test_snapshots_are_those_of_the_epochs_asked_for(tmp_path, images):
    data = random_images(48, 0)._replace(test=images)
    constant = optax.constant_schedule
    arms = {
        str(rate): Arm("", "fixed", constant(rate), constant(0.9))
        for rate in (0.03, 0.3)
    }
    optimizers = {name: arm.optimizer for name, arm in arms.items()}
    runs = start(optimizers, seeds=2)
    checkpoints = Checkpoints(tmp_path, {}, keep_every=2)
    outputs = []
    for epoch in train(optimizers, data, runs, epochs=4, batch_size=16):
        checkpoints.save(epoch.runs)
        outputs.append(softmax_outputs(epoch.runs, images.images))
    found = snapshots(checkpoints, arms, 2, (2, 4), images)
    together = accuracies((outputs[1] + outputs[3]) / 2, images.labels)
    alone = accuracies(outputs[3], images.labels)
    np.testing.assert_array_equal(found["0.3"]["together"], together[2:])
    np.testing.assert_array_equal(found["0.03"]["alone"], alone[:2])
    with pytest.raises(CheckpointError, match=r"epoch 1 .* cannot be read"):
        snapshots(checkpoints, arms, 2, (1, 4), images)

"""The parts of the comparison: arms, tuning budget, data, range tests."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lab import range_tests
from lab.data.sources import FashionMNIST
from lab.superconvergence import protocol
from lab.superconvergence.protocol import (
    GRID,
    MOMENTA,
    ProtocolError,
    Settings,
    cyclical,
    split,
)


def numbered(train, test):
    """A data set whose images say which they are, in two pixels and the label."""
    images = np.zeros((train + test, 28, 28), np.uint8)
    images[:, 0, 0], images[:, 0, 1] = np.divmod(np.arange(train + test), 256)
    labels = np.arange(train + test, dtype=np.int32)
    return FashionMNIST(
        images[:train], labels[:train], images[train:], labels[train:], ""
    )


def test_the_split_holds_a_twelfth_of_the_training_images():
    data = numbered(240, 30)
    parts = split(data)
    assert (len(parts.train_images), len(parts.test_images)) == (220, 20)
    labels = np.concatenate([parts.train_labels, parts.test_labels])
    np.testing.assert_array_equal(np.sort(labels), np.arange(240))
    images = np.concatenate([parts.train_images, parts.test_images])
    np.testing.assert_array_equal(images, data.train_images[labels])
    assert (split(data).test_labels == parts.test_labels).all()


def test_tuning_is_counted_in_steps_and_cannot_favour_clr():
    settings = Settings()
    settings.check()
    steps = 860  # the 55,000 images in batches of 64
    assert settings.steps_per_epoch == steps
    assert settings.tuning_steps == {
        "fixed": 6 * 10 * steps,
        "CLR": 12 * 4 * steps + 2 * 5 * 400,
    }
    with pytest.raises(ProtocolError, match=r"CLR would take 55,600 .* rate 51,600"):
        Settings(trial_epochs=5).check()


@given(steps=st.integers(8, 10_000), tail=st.sampled_from([0.0, 0.25, 0.5]))
@example(steps=8, tail=0.5)
def test_a_cycle_and_its_tail_are_the_polygon_of_the_papers(steps, tail):
    arm = cyclical((0.02, 0.5), (0.5, tail), (0.85, 0.95), steps)
    end = steps - round(tail * steps)
    up = end // 2
    corners = [0, up, end, end + max(1, steps - end)]
    at = np.array([0, 1, up - 1, up, up + 1, end - 1, end, steps - 1])
    at = at[at < steps]
    expected = np.interp(at, corners, [0.01, 0.25, 0.01, 0.0001])
    np.testing.assert_allclose(
        np.stack([arm.rate(i) for i in at]), expected, rtol=1e-6, atol=2e-9
    )
    expected = np.interp(at, corners, [0.95, 0.85, 0.95, 0.95])
    momenta = np.stack([arm.momentum(i) for i in at])
    np.testing.assert_allclose(momenta, expected, rtol=1e-6)


def test_every_arm_has_one_structure_of_state():
    params = {"w": jnp.ones(3)}
    arms = [protocol.fixed(*point) for point in GRID]
    arms += [cyclical((0.1, 1), (1, 0.25), m, 100) for m in MOMENTA.values()]
    states = [arm.optimizer.init(params) for arm in arms]
    for state in states:
        assert jax.tree.structure(state) == jax.tree.structure(states[0])
        for leaf, first in zip(*map(jax.tree.leaves, (state, states[0])), strict=True):
            assert (leaf.dtype, leaf.shape) == (first.dtype, first.shape)


def test_the_spread_leaves_out_what_could_not_be_read():
    read = range_tests.spread(np.array([0.5, np.nan, 0.25, 1.0]))
    assert (read["median"], read["lowest"], read["highest"], read["n"]) == (
        0.5,
        0.25,
        1,
        3,
    )
    assert np.isnan(range_tests.spread(np.full(2, np.nan))["median"])


@pytest.mark.slow
def test_range_tests_of_the_network(monkeypatch):
    monkeypatch.setattr(
        range_tests, "OPTIMIZERS", {"SGD": range_tests.OPTIMIZERS["SGD"]}
    )
    data = FashionMNIST(
        *(a % 10 for a in numbered(48, 0)[:2]), *numbered(48, 0)[2:4], ""
    )
    (test,) = range_tests.range_tests(data, seeds=2, steps=20, batch_size=8).values()
    assert (test["lrs"][0], test["lrs"][-1]) == (pytest.approx(1e-5), 10)
    losses = np.array(test["losses"])
    assert losses.shape == (2, 20)
    np.testing.assert_allclose(losses[:, 0], np.log(10), rtol=0.1)
    assert (losses[0] != losses[1]).all()
    assert set(test["suggestions"]) == {*range_tests.RULES, "base_lr"}
    cost = range_tests.cost_ratio(data, steps=2, batch_size=8, repeats=2)
    assert len(cost["plain_seconds"]) == len(cost["range_test_seconds"]) == 2
    ratios = np.divide(cost["range_test_seconds"], cost["plain_seconds"])
    assert cost["ratio"] == np.median(ratios)

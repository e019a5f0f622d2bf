"""The parts of the comparison: arms and tuning budget."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lab.superconvergence.settings import (
    GRID,
    MOMENTA,
    ProtocolError,
    Settings,
    cyclical,
    fixed,
)


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
    arms = [fixed(*point) for point in GRID]
    arms += [cyclical((0.1, 1), (1, 0.25), m, 100) for m in MOMENTA.values()]
    states = [arm.optimizer.init(params) for arm in arms]
    for state in states:
        assert jax.tree.structure(state) == jax.tree.structure(states[0])
        for leaf, first in zip(*map(jax.tree.leaves, (state, states[0])), strict=True):
            assert (leaf.dtype, leaf.shape) == (first.dtype, first.shape)

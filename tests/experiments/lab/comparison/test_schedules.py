"""What is compared: peaks, ends and budgets."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lab.comparison.parts import anytime_arms, peaks_to_try, tuning_steps
from lab.comparison.protocol import SHORT, Settings
from lab.comparison.schedules import SCHEDULES, TUNED, cycles, restarts

BOUNDS = (0.015625, 0.125)
LENGTHS = (60, 601, 8600)
PEAKS = dict.fromkeys(TUNED, 0.0625)


def rates(plan, steps):
    rate = plan.rate(*BOUNDS, steps)
    return jax.vmap(lambda step: jnp.asarray(rate(step)))(jnp.arange(steps))


@pytest.mark.parametrize("steps", LENGTHS)
@pytest.mark.parametrize("name", SCHEDULES)
def test_every_schedule_peaks_at_max_lr_and_stays_below(name, steps):
    at = rates(SCHEDULES[name], steps)
    assert at.max() <= 0.125 * (1 + 1e-6)
    # a short run steps over the peak; exp_range has shrunk a sixth of its way
    assert at.max() >= (0.79 if "exp_range" in name else 0.97) * 0.125
    assert at.min() >= 0


@pytest.mark.parametrize("name", [n for n, s in SCHEDULES.items() if s.role != "fixed"])
@pytest.mark.parametrize("steps", LENGTHS)
def test_every_schedule_ends_low(name, steps):
    low = 0.015625 if SCHEDULES[name].role == "cyclical" else 0.0
    # the last of the steps of a run stands a step or two before the end
    reach = 3 * (0.125 - low) / (steps / 6)
    assert abs(rates(SCHEDULES[name], steps)[-1] - low) <= reach


def test_three_cycles_and_three_restarts_fill_the_run():
    steps = 12 * 860
    three = cycles(3)(*BOUNDS, steps)
    falls = restarts(*BOUNDS, steps)
    for cycle in range(3):
        begin, end = cycle * 3440, (cycle + 1) * 3440
        assert (three(begin), three(begin + 1720)) == BOUNDS
        np.testing.assert_allclose(falls(begin), 0.125, rtol=1e-6)
        assert falls(end - 1) < 1e-6


def test_exp_range_ends_at_a_quarter_of_its_amplitude():
    rate = SCHEDULES["CLR exp_range, 3 cycles"].rate(0.0, 1.0, 6000)
    # at the last peak, after 5,000 steps
    np.testing.assert_allclose(rate(5000), 0.25 ** (5 / 6), rtol=1e-5)


def test_nobody_tunes_longer_than_the_others():
    settings = Settings()
    costs = {n: tuning_steps(plan, settings) for n, plan in SCHEDULES.items()}
    assert costs["cosine decay"] == 5 * 10 * 860
    assert costs["CLR triangular, 1 cycle"] == 2000 + 4 * 10 * 860
    assert max(costs.values()) == costs["cosine decay"]
    for plan in TUNED.values():
        tried = peaks_to_try(plan, settings, 0.105)
        assert set(tried) <= set(settings.grid)
        assert len(tried) == 5 - (plan.role == "cyclical")
    assert peaks_to_try(SCHEDULES["CLR cosine, 1 cycle"], settings, 0.105)[0] == 0.025


@pytest.mark.parametrize("settings", [Settings(), SHORT])
def test_every_arm_has_one_structure_of_state(settings):
    params = {"w": jnp.ones(3)}
    arms = [plan.arm(*BOUNDS, 100) for plan in TUNED.values()]
    arms += anytime_arms(settings, BOUNDS, PEAKS).values()
    states = [arm.optimizer.init(params) for arm in arms]
    for state in states:
        assert jax.tree.structure(state) == jax.tree.structure(states[0])
        for leaf, first in zip(*map(jax.tree.leaves, (state, states[0])), strict=True):
            assert (leaf.dtype, leaf.shape) == (first.dtype, first.shape)

"""What is compared: peaks, ends and budgets."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lab.comparison.parts import anytime_arms, at_best, best, peaks_to_try, tuning_steps
from lab.comparison.protocol import SHORT, Settings
from lab.comparison.schedules import (
    AVERAGED,
    COOL_DOWNS,
    MOMENTUM,
    RANGE_TEST,
    SCHEDULES,
    SWEEP,
    TRIED,
    begins,
    cycles,
    growing,
    linear,
    long_then_short,
    one_less_root,
    restarts,
    warm_up,
    wsd,
)

BOUNDS = (0.015625, 0.125)
LENGTHS = (60, 601, 8600)
SCORES = {name: {"0.0625": 0.5, "0.03": 0.4} for name in TRIED}


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
    for plan in TRIED.values():
        tried = peaks_to_try(plan, settings, 0.105)
        assert set(tried) <= {plan.scale * peak for peak in settings.grid}
        assert len(tried) == 5 - (plan.role == "cyclical")
    assert peaks_to_try(SCHEDULES["CLR cosine, 1 cycle"], settings, 0.105)[0] == 0.025


def test_the_long_cycle_is_half_of_the_run_and_the_growing_one_a_third():
    steps, (base_lr, max_lr) = 12 * 860, BOUNDS
    long, grown = (make(*BOUNDS, steps) for make in (long_then_short, growing))
    for rate, peaks, ends in [
        (long, [3, 6.5, 7.5, 11.5], [0, 6, 7, 8, 11, 12]),
        (grown, [2, 8], [0, 4, 12]),
    ]:
        for epoch in peaks:
            np.testing.assert_allclose(rate(round(epoch * 860)), max_lr, rtol=1e-6)
        for epoch in ends:
            np.testing.assert_allclose(rate(epoch * 860), base_lr, rtol=1e-6)


@pytest.mark.parametrize("name", COOL_DOWNS)
def test_wsd_warms_up_holds_and_cools_down_in_its_last_fifth(name):
    at = rates(COOL_DOWNS[name], 3000)
    assert at[0] == 0
    np.testing.assert_allclose(at[100:2401], 0.125)
    assert (np.diff(at[2400:]) < 0).all()
    # 1 - sqrt has half of its fall behind it after a quarter
    half = 2700 if name.endswith("linear") else 2550
    np.testing.assert_allclose(at[half], 0.0625, rtol=1e-5)
    assert at[-1] < 0.125 / 500


@pytest.mark.parametrize("decline", [linear, one_less_root])
def test_a_branch_is_the_held_run_until_it_cools_down(decline):
    """Three epochs of 100 steps of a run of ten, the last to cool down in."""
    branch = wsd(decline, 0.3, 0.1)(*BOUNDS, 1000)
    held = warm_up(*BOUNDS, 1000)
    steps = np.arange(201)
    np.testing.assert_allclose(branch(steps), held(steps))
    assert branch(299) < 0.125 / 90 < branch(201)


def test_a_cool_down_takes_a_fifth_of_the_epochs_so_far_and_one_at_least():
    assert begins((1, 4, 8, 12)) == {1: 0, 4: 3, 8: 6, 12: 10}


def test_averages_are_of_all_weights_and_later_of_the_newest():
    """Of a weight that grows by one a step, half of it: then by a lag of 1 / 0.1."""
    params = jnp.zeros(2)
    state = AVERAGED.init(params)
    count = 200
    averages = []
    for _ in range(count):
        updates, state = AVERAGED.update(
            jnp.array([-0.1, 0.0]), state, params, learning_rate=1.0, decay=0.9
        )
        params = params + updates
        averages.append(float(state.average[0]))
    plain, trace = jnp.zeros(2), MOMENTUM.init(params)
    weights = []
    for _ in range(count):
        updates, trace = MOMENTUM.update(
            jnp.array([-0.1, 0.0]), trace, plain, learning_rate=1.0
        )
        plain = plain + updates
        weights.append(float(plain[0]))
    np.testing.assert_allclose(params, plain)
    for n in (1, 5, 10):
        np.testing.assert_allclose(averages[n - 1], np.mean(weights[:n]), rtol=1e-5)
    # a weight that grows steadily is ahead of its average by decay / (1 - decay) steps
    growth = weights[-1] - weights[-2]
    np.testing.assert_allclose(weights[-1] - averages[-1], 9 * growth, rtol=1e-3)


def test_of_several_schedules_the_most_accurate_peak_is_taken():
    scores = {"a": {"0.1": 0.5, "0.2": 0.6}, "b": {"0.4": 0.7}, "c": {"0.8": 0.9}}
    assert best(scores, ["a", "b"]) == ("b", 0.4)
    assert at_best(scores, ["a"], (0.01, 0.1)) == pytest.approx((0.02, 0.2))


@pytest.mark.parametrize("settings", [Settings(), SHORT])
def test_arms_of_one_optimizer_have_one_structure_of_state(settings):
    bounds = {RANGE_TEST: BOUNDS, SWEEP: BOUNDS}
    arms = [plan.arm(*BOUNDS, 100) for plan in TRIED.values()]
    arms += anytime_arms(settings, bounds, SCORES).values()
    assert len({arm.optimizer for arm in arms}) == 3
    for arm in arms:
        same = [a for a in arms if a.optimizer == arm.optimizer]
        assert {frozenset(a.numbers) for a in same} == {frozenset(arm.numbers)}

"""The arms of the transformer's protocol."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from lab.training import State, schedule_free_weights
from lab.transformer.protocol import (
    BASELINE,
    CYCLES,
    FREE,
    ONE_RUN,
    PLANNED,
    SHORT,
    WSD,
    cooling,
    free_arms,
    grid_arms,
    one_run_arms,
    planned_arms,
)

BASE, PEAK, TUNED, LENGTH = 0.125, 0.5, 0.75, 60
BOUNDS = BASE, PEAK
SETTINGS = dataclasses.replace(SHORT, lengths=(20, 60))
CLR = ("CLR one cycle, b1 too", "CLR triangular2")


@pytest.fixture(scope="module")
def planned():
    return planned_arms(BOUNDS, TUNED, LENGTH, SETTINGS)


@pytest.fixture(scope="module")
def one_run():
    return one_run_arms(BOUNDS, SETTINGS)


def rates(schedule):
    return np.array([schedule(step) for step in range(LENGTH + 1)])


def test_each_arm_has_its_name_and_the_number_is_known(planned, one_run):
    assert (len(planned), len(one_run)) == (PLANNED, ONE_RUN)
    assert len(free_arms({"a": 1.0, "b": 1.0}, SETTINGS)) == FREE
    of_role = {arm.role: name for name, arm in planned.items()}
    assert of_role["baseline"] == BASELINE
    assert tuple(name for name, a in planned.items() if a.role == "cyclical") == CLR


def test_all_but_the_tuned_one_have_the_peak_of_the_sweep(planned, one_run):
    tops = {name: rates(arm.rate).max() for name, arm in (planned | one_run).items()}
    assert tops.pop(BASELINE) == TUNED
    assert set(tops.values()) == {PEAK}


def test_the_cycles_end_with_the_run(planned):
    one, triangular2 = (rates(planned[name].rate) for name in CLR)
    np.testing.assert_array_equal(triangular2[[0, 20, 40, 60]], BASE)
    expected = BASE + (PEAK - BASE) / np.array([1, 2, 4])
    np.testing.assert_array_equal(triangular2[[10, 30, 50]], expected)
    np.testing.assert_array_equal(one[[0, 30, 60]], [BASE, PEAK, BASE])


def test_the_cycles_of_one_run_end_where_it_is_read(one_run):
    cycles = rates(one_run[CYCLES].rate)
    np.testing.assert_array_equal(cycles[[0, 20, 40, 60]], BASE)
    np.testing.assert_array_equal(cycles[[10, 30, 50]], PEAK)


def test_wsd_goes_on_at_the_peak_until_a_fifth_is_left(planned):
    hold = rates(planned[WSD].rate)
    assert cooling(LENGTH) == 48
    expected = np.array([0, 0.5, 1, 1, 0.5, 0]) * PEAK
    np.testing.assert_allclose(hold[[0, 1, 2, 48, 54, 60]], expected, atol=1e-6)
    shorter = rates(planned_arms(BOUNDS, TUNED, 20, SETTINGS)[WSD].rate)
    until = cooling(20) + 1
    np.testing.assert_array_equal(shorter[:until], hold[:until])  # one run would do


def test_only_one_cycle_moves_b1_against_the_rate(planned, one_run):
    for name, arm in (planned | one_run).items():
        b1 = rates(arm.numbers["b1"])
        if name == "CLR one cycle, b1 too":
            np.testing.assert_allclose(b1[[0, 30, 60]], [0.95, 0.85, 0.95], rtol=1e-6)
        else:
            np.testing.assert_array_equal(b1, 0.9)


def test_schedule_free_is_optax_s():
    """And it is read at its averaged weights, which are not those that are trained."""
    arm = free_arms({"free": PEAK}, SETTINGS)["free"]
    theirs = optax.contrib.schedule_free_adamw(PEAK, weight_decay=1e-4)
    params = ours = jnp.array([1.0, -2.0])
    state, our_state = theirs.init(params), arm.optimizer.init(params)
    for _ in range(5):
        updates, state = theirs.update(2 * params, state, params)
        params = optax.apply_updates(params, updates)
        updates, our_state = arm.optimizer.update(
            2 * ours, our_state, ours, learning_rate=PEAK
        )
        ours = optax.apply_updates(ours, updates)
    np.testing.assert_allclose(ours, params, rtol=1e-5)
    read = schedule_free_weights(State(ours, our_state, None))
    expected = optax.contrib.schedule_free_eval_params(state, params)
    np.testing.assert_allclose(read, expected, rtol=1e-5)
    assert jnp.abs(read - ours).min() > 0.01


def test_schedule_free_warms_up_as_wsd_does():
    rate = rates(free_arms({"free": PEAK}, SETTINGS)["free"].rate)
    np.testing.assert_allclose(rate, [0, PEAK / 2, *[PEAK] * (LENGTH - 1)])


def test_the_grid_is_named_by_its_peaks():
    arms = grid_arms((0.25, 0.5), LENGTH)
    assert list(arms) == ["0.25", "0.5"]
    for name, arm in arms.items():
        assert rates(arm.rate).max() == float(name)
        assert rates(arm.rate)[[0, -1]].tolist() == [0, 0]


def test_runs_are_counted():
    assert SHORT.runs == 2 * (5 + 5 * 2) + 5 + (2 + 2) * 2

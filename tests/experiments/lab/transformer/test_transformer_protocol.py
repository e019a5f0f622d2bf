"""The arms of the transformer's protocol."""

import numpy as np
import pytest

from lab.transformer.protocol import ARMS, BASELINE, SHORT, final_arms, grid_arms

BASE, PEAK, TUNED, LENGTH = 0.125, 0.5, 0.75, 60
CLR = ("CLR triangular2", "CLR one cycle, b1 too")


@pytest.fixture(scope="module")
def arms():
    return final_arms(BASE, PEAK, TUNED, LENGTH)


def rates(schedule):
    return np.array([schedule(step) for step in range(LENGTH + 1)])


def test_each_arm_has_its_name_and_the_number_is_known(arms):
    assert len(arms) == ARMS
    assert [name for name, arm in arms.items() if arm.role == "baseline"] == [BASELINE]
    assert tuple(name for name, a in arms.items() if a.role == "cyclical") == CLR


def test_all_but_the_tuned_one_have_the_peak_of_the_sweep(arms):
    tops = {name: rates(arm.rate).max() for name, arm in arms.items()}
    assert tops.pop(BASELINE) == TUNED
    assert set(tops.values()) == {PEAK}


def test_the_cycles_end_with_the_run(arms):
    triangular2, one = (rates(arms[name].rate) for name in CLR)
    np.testing.assert_array_equal(triangular2[[0, 20, 40, 60]], BASE)
    expected = BASE + (PEAK - BASE) / np.array([1, 2, 4])
    np.testing.assert_array_equal(triangular2[[10, 30, 50]], expected)
    np.testing.assert_array_equal(one[[0, 30, 60]], [BASE, PEAK, BASE])


def test_only_one_cycle_moves_b1_against_the_rate(arms):
    for name, arm in arms.items():
        b1 = rates(arm.numbers["b1"])
        if name == "CLR one cycle, b1 too":
            np.testing.assert_allclose(b1[[0, 30, 60]], [0.95, 0.85, 0.95], rtol=1e-6)
        else:
            np.testing.assert_array_equal(b1, 0.9)


def test_the_grid_is_named_by_its_peaks():
    arms = grid_arms((0.25, 0.5), LENGTH)
    assert list(arms) == ["0.25", "0.5"]
    for name, arm in arms.items():
        assert rates(arm.rate).max() == float(name)
        assert rates(arm.rate)[[0, -1]].tolist() == [0, 0]


def test_runs_are_counted():
    assert SHORT.runs == 2 * (3 + 5 * 2)

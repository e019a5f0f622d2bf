"""The laws of the schedule: its shape in time, whatever its numbers."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from clr_core import clr

LAST = 2**31 - 1
MODES = ["triangular", "triangular2", "exp_range"]
ANNEALS = ["linear", "cosine"]
pytestmark = pytest.mark.usefixtures("strict")

# Zero, or so large that no sum or product of two leaves the normal floats.
rates = st.just(0.0) | st.floats(2.0**-40, 2.0**10, width=32)
sizes = st.integers(1, LAST) | st.integers(1, 50)
steps = st.integers(0, LAST) | st.integers(0, 500)
modes, anneals = st.sampled_from(MODES), st.sampled_from(ANNEALS)


def at(steps, *numbers, **options):
    """Returns the rates of a few steps as NumPy floats; values never compile anew."""
    arrays = (np.asarray(x, np.float32) for x in numbers[:2])
    options = {
        name: np.int32(value) if name == "step_size_down" else value
        for name, value in options.items()
    }
    return np.asarray(
        clr(np.asarray(steps, np.int32), *arrays, np.int32(numbers[2]), **options)
    )


@given(rates, rates, sizes, sizes, st.integers(0, LAST), modes, anneals)
@example(0.0, 1.0, 1, 1, 2**30 - 1, "triangular", "linear")
def test_cycles_begin_at_base_and_peak_at_max(base, top, up, down, cycle, mode, anneal):
    cycle %= 1 + (LAST - up) // (up + down)
    trough = cycle * (up + down)
    options = {"step_size_down": down, "mode": mode, "anneal": anneal}
    low, high = at([trough, trough + up], base, top, up, **options)
    assert low == np.float32(base)
    if mode != "triangular2" or cycle == 0:
        assert high == np.float32(top)


@given(steps, rates, rates, sizes, sizes, modes, anneals)
@example(1, 0.1, 0.1, 3, 3, "triangular", "linear")
def test_rate_stays_between_base_and_max(step, base, top, up, down, mode, anneal):
    options = {"step_size_down": down, "mode": mode, "gamma": 0.999, "anneal": anneal}
    [rate] = at([step], base, top, up, **options)
    low, high = sorted([np.float32(base), np.float32(top)])
    assert low <= rate <= high


@given(steps, rates, rates, sizes, sizes, anneals)
def test_cycles_repeat_to_the_bit(step, base, top, up, down, anneal):
    assume(step + up + down <= LAST)
    options = {"step_size_down": down, "anneal": anneal}
    now, later = at([step, step + up + down], base, top, up, **options)
    assert now == later


@given(steps, rates, rates, sizes, anneals)
def test_fall_mirrors_the_rise(step, base, top, size, anneal):
    assume(size <= LAST // 2)
    step %= size + 1
    rise, fall = at([step, 2 * size - step], base, top, size, anneal=anneal)
    assert rise == fall


@given(steps, rates, rates, sizes, sizes)
def test_swapping_the_ends_mirrors_the_rate(step, base, top, up, down):
    [rate] = at([step], base, top, up, step_size_down=down)
    [dip] = at([step], top, base, up, step_size_down=down)
    np.testing.assert_allclose(rate + dip, np.float32(base) + top, rtol=1e-6)


@given(steps, rates, rates, sizes, sizes)
def test_one_step_moves_at_most_one_slope(step, base, top, up, down):
    assume(step < LAST)
    now, then = at([step, step + 1], base, top, up, step_size_down=down)
    slope = abs(np.float64(np.float32(top)) - np.float32(base)) / min(up, down)
    assert abs(np.float64(then) - now) <= slope * (1 + 1e-6) + 1e-6 * max(base, top)


@given(steps, rates, sizes, sizes)
def test_triangular2_halves_after_every_cycle(step, top, up, down):
    assume(step + up + down <= LAST and step // (up + down) < 60)
    numbers = 0.0, top, up
    now, later = at(
        [step, step + up + down], *numbers, step_size_down=down, mode="triangular2"
    )
    np.testing.assert_allclose(later, now / 2, rtol=3e-7, atol=0)


@given(steps, rates, rates, sizes, sizes)
def test_exp_range_without_decay_is_triangular(step, base, top, up, down):
    numbers = [step], base, top, up
    plain = at(*numbers, step_size_down=down)
    assert at(*numbers, step_size_down=down, mode="exp_range", gamma=1.0) == plain


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("cycles", [1025, 10**6, 2**30 - 1])
def test_many_cycles_neither_overflow_nor_vanish_into_nan(mode, cycles):
    peak = 2 * cycles + 1
    low, high = at([peak - 1, peak], 0.25, 1.0, 1, mode=mode, gamma=0.5)
    assert low == 0.25
    assert high == (1.0 if mode == "triangular" else 0.25)


def test_halves_of_three_and_one_by_hand():
    want = [1, 3, 5, 7, 1, 3, 5, 7, 1]
    assert at(range(9), 1.0, 7.0, 3, step_size_down=1).tolist() == want
    assert at(range(5), 1.0, 7.0, 1, step_size_down=3).tolist() == [1, 7, 5, 3, 1]


def test_scale_fn_counts_cycles_from_one_and_steps_from_zero():
    seen = []

    def spy(count):
        seen.append(count.tolist())
        return 1

    clr(jnp.arange(5), 0.0, 1.0, 1, scale_fn=spy)
    clr(jnp.arange(5), 0.0, 1.0, 1, scale_fn=spy, scale_mode="iterations")
    assert seen == [[1, 1, 2, 2, 3], [0, 1, 2, 3, 4]]


@pytest.mark.parametrize(
    ("mode", "scale_fn", "scale_mode"),
    [
        ("triangular", lambda cycle: 1, "cycle"),
        ("triangular2", lambda cycle: 1 / 2.0 ** (cycle - 1.0), "cycle"),
        ("exp_range", lambda step: 0.75**step, "iterations"),
    ],
)
def test_scale_fn_can_say_what_modes_say(mode, scale_fn, scale_mode):
    numbers = np.arange(30), 0.125, 0.5, 4
    own = at(*numbers, scale_fn=scale_fn, scale_mode=scale_mode)
    np.testing.assert_allclose(at(*numbers, mode=mode, gamma=0.75), own, rtol=1e-6)


def test_mode_is_ignored_beside_scale_fn():
    rate = clr(4, 0.0, 1.0, 4, mode="exp_range", gamma=0.5, scale_fn=lambda cycle: 0.25)
    assert rate == 0.25


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("step", [-1, -7, -LAST - 1, np.int8(-3), -0.5, -1e30])
def test_negative_steps_give_the_start(step, mode):
    assert clr(step, 0.25, 1.0, 4, mode=mode, gamma=0.5) == np.float32(0.25)


UNKNOWN = [
    (ValueError, "mode", "triangle", "did you mean 'triangular'"),
    (ValueError, "scale_mode", "iteration", "did you mean 'iterations'"),
    (ValueError, "anneal", "square", "see help"),
    (TypeError, "mode", 2, "such as 'triangular'"),
    (TypeError, "scale_mode", None, "such as 'cycle'"),
    (TypeError, "anneal", True, "such as 'linear'"),
]


@pytest.mark.parametrize(("error", "name", "value", "hint"), UNKNOWN)
def test_unknown_words_are_refused(error, name, value, hint):
    scale = {"scale_fn": abs} if name == "scale_mode" else {}
    with pytest.raises(
        error, match=f"^clr needs {name} .*, got {name}={value!r}, {hint}"
    ):
        clr(0, 0.0, 1.0, 4, **scale, **{name: value})


def test_a_gamma_without_a_logarithm_is_refused():
    with pytest.raises(ValueError, match=r"^clr needs gamma above 0, got gamma=0\.$"):
        clr(0, 0.0, 1.0, 4, mode="exp_range", gamma=0)

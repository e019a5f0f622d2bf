"""Cycles that grow: each cycle_mult times as long as the one before."""

import functools
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import LAST, draw_numbers, draw_rates, exact_cycle, exact_rate

from clr_core import clr
from clr_core._triangle import _grown

pytestmark = pytest.mark.usefixtures("strict")
MODES = ["triangular", "triangular2", "exp_range"]
ANNEALS = ["linear", "cosine"]
MULTS = [2, 3, 10, 1000, 2**16, LAST]  # code is compiled for each
POINTS = 1000

rates = st.just(0.0) | st.floats(2.0**-40, 2.0**10, width=32)
sizes = st.integers(1, LAST) | st.integers(1, 50)
mults, cycles = st.sampled_from(MULTS), st.integers(1, 31)
modes, anneals = st.sampled_from(MODES), st.sampled_from(ANNEALS)


def at(steps, base, top, up, down, mult, **options):
    """Returns the rates of a few steps as floats; only another mult compiles anew."""
    steps, up, down = np.array(steps, np.int32), np.int32(up), np.int32(down)
    ends = np.float32(base), np.float32(top)
    return clr(steps, *ends, up, step_size_down=down, cycle_mult=mult, **options)


def begin(cycle, total, mult):
    """Returns the step at which a cycle begins, or the last that does by LAST."""
    step, length = 0, total
    for _ in range(cycle - 1):
        if step + length > LAST:
            break
        step, length = step + length, length * mult
    return step


def corners(up, down, mult, rng):
    """Returns a step near the trough, peak or middle of a half of a cycle."""
    trough = begin(int(rng.integers(1, 32)), up + down, mult)
    _, _, rise, fall = exact_cycle(trough, up, down, mult)
    place = [0, rise // 2, rise, rise + fall // 2][rng.integers(4)]
    return min(max(trough + place + int(rng.integers(-2, 3)), 0), LAST)


def draw(seed, mult, n):
    """Returns steps, half of them at corners, and numbers of cycles."""
    step, up, down = draw_numbers(seed, n)
    rng = np.random.default_rng(seed)
    for i in range(0, n, 2):
        step[i] = corners(int(up[i]), int(down[i]), mult, rng)
    return step, *draw_rates(seed, n), up, down


@settings(max_examples=300)
@given(rates, rates, sizes, sizes, mults, cycles, modes, anneals)
def test_cycles_begin_at_base_and_peak_at_max(
    base, top, up, down, mult, cycle, mode, anneal
):
    trough = begin(cycle, up + down, mult)
    number, place, rise, _ = exact_cycle(trough, up, down, mult)
    assert place == 0
    numbers = base, top, up, down, mult
    peak = min(trough + rise, LAST)
    low, high = at([trough, peak], *numbers, mode=mode, anneal=anneal)
    assert low == np.float32(base)
    if peak == trough + rise and (mode != "triangular2" or number == 1):
        assert high == np.float32(top)


@pytest.mark.parametrize("mode", ["triangular", "triangular2"])
@pytest.mark.parametrize("mult", MULTS)
def test_error_is_a_millionth_of_the_rate(mult, mode):
    numbers = draw(mult % 97, mult, POINTS)
    got = np.asarray(at(*numbers, mult, mode=mode))
    for rate, step, base, top, up, down in zip(got, *numbers, strict=True):
        want = exact_rate(step, base, top, up, down, mode, mult=mult)
        limit = Fraction(1, 10**6) * want + Fraction(1, 2**126)
        assert abs(Fraction(float(rate)) - want) <= limit, (step, up, down)


@pytest.mark.parametrize("anneal", ANNEALS)
@pytest.mark.parametrize("mult", MULTS)
def test_error_is_a_millionth_of_the_amplitude(mult, anneal):
    step, base, top, up, down = draw(mult % 89, mult, POINTS)
    gamma = 1 - 10 ** np.random.default_rng(mult).uniform(-10, -1, POINTS)
    options = {"mode": "exp_range", "gamma": gamma, "anneal": anneal}
    got = np.asarray(at(step, base, top, up, down, mult, **options))
    assert (np.minimum(base, top) <= got).all()
    assert (got <= np.maximum(base, top)).all()
    for i, (s, b, m, u, d) in enumerate(zip(step, base, top, up, down, strict=True)):
        want = float(exact_rate(s, b, m, u, d, "exp_range", gamma[i], anneal, mult))
        amplitude, rounding = abs(float(m) - float(b)), max(b, m) * 2.0**-23
        assert abs(got[i] - want) <= 1e-6 * amplitude + rounding, (s, u, d)


@settings(max_examples=200)
@given(rates, rates, st.integers(1, 50), st.integers(1, 50), mults, cycles)
def test_half_the_height_is_exact(base, top, up, down, mult, cycle):
    up, down = 2 * up, 2 * down
    trough = begin(cycle, up + down, mult)
    _, _, rise, fall = exact_cycle(trough, up, down, mult)
    halfway = [trough + rise // 2, trough + rise + fall // 2]
    if halfway[1] > LAST:
        return
    middle = np.float32(base) + np.float64(0.5) * (np.float32(top) - np.float32(base))
    got = at(halfway, base, top, up, down, mult, anneal="cosine")
    assert got.tolist() == [np.float32(middle)] * 2


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("mult", MULTS)
def test_a_cycle_begins_where_those_before_end(mult, bits):
    before = [0]
    while (end := 1 + mult * before[-1]) < 2 ** (bits - 1):
        before.append(end)
    number = np.arange(1, len(before) + 1)
    first = np.array(before, f"uint{bits}")
    last = np.array([*before[1:], 2 ** (bits - 1)], first.dtype) - first.dtype.type(1)
    with jax.enable_x64(bits == 64):
        for turns in (first, last):
            cycle, start = _grown(jnp.asarray(turns), mult)
            np.testing.assert_array_equal(cycle, number)
            np.testing.assert_array_equal(start, first)


def test_halves_of_two_and_one_by_hand():
    got = at(range(13), 1.0, 7.0, 2, 1, 3)
    assert got.tolist() == [1, 4, 7, 1, 2, 3, 4, 5, 6, 7, 5, 3, 1]
    got = at([0, 1, 3, 5, 7, 15], 0.0, 1.0, 1, 1, 2, mode="triangular2")
    assert got.tolist() == [0, 1, 0.25, 0.25, 0.0625, 0.015625]


@pytest.mark.parametrize("mode", MODES)
def test_one_is_the_default_and_no_growth(mode):
    numbers = np.arange(99), 0.25, 1.0, 3
    plain = clr(*numbers, step_size_down=4, mode=mode)
    same = clr(*numbers, step_size_down=4, mode=mode, cycle_mult=np.int64(1))
    np.testing.assert_array_equal(plain, same)


@pytest.mark.parametrize("scale_mode", ["cycle", "iterations"])
def test_scale_fn_is_given_the_cycle_or_the_step(scale_mode):
    seen = []

    def look(count):
        seen.extend(count.tolist())
        return 1.0

    steps = [0, 1, 2, 5, 6, 13, 14, 2**30]
    at(steps, 0.0, 1.0, 1, 1, 2, scale_fn=look, scale_mode=scale_mode)
    assert seen == ([1, 1, 2, 2, 3, 3, 4, 30] if scale_mode == "cycle" else steps)


@pytest.mark.parametrize("mode", MODES)
def test_sizes_and_steps_may_be_traced_and_mapped(mode):
    steps, ups, downs = np.arange(40), np.array([1, 2, 5]), np.array([4, 2, 1])

    def rate(step, up, down):
        numbers = step, 0.25, 1.0, up
        return clr(*numbers, step_size_down=down, cycle_mult=3, mode=mode, gamma=0.5)

    want = jnp.stack(
        [rate(steps, int(u), int(d)) for u, d in zip(ups, downs, strict=True)]
    )
    mapped = jax.vmap(rate, (None, 0, 0))
    for got in (
        mapped(steps, ups, downs),
        jax.jit(mapped)(steps, ups, downs),
        rate(steps[None], ups[:, None], downs[:, None]),
        mapped(steps.astype(np.float32), ups, downs.astype(np.float32)),
    ):
        np.testing.assert_array_max_ulp(got, want, maxulp=2)


def test_fractions_of_a_step_stay_fractions():
    half = functools.partial(clr, base_lr=0.0, max_lr=1.0, cycle_mult=2)
    assert half(2.5, step_size=1) == 0.25  # a quarter of the second rise
    assert half(0.75, step_size=0.25) == 0.5  # the second cycle is one step long
    far = half(np.float32([1e9, 3e9, 1e30]), step_size=1.0)  # beyond them is no rate
    assert ((far >= 0) & (far <= 1)).all()


def test_x64_counts_beyond_int32():
    with jax.enable_x64(True):
        steps = np.array([2**62 - 2, 3 * 2**61 - 2, 2**63 - 3])  # trough, peak, trough
        assert clr(steps, 0.25, 1.0, 1, cycle_mult=2).tolist() == [0.25, 1.0, 0.25]
        wide = clr(np.int64(2**40 + 7), np.float64(0), 1.0, 5, cycle_mult=3)
    want = exact_rate(2**40 + 7, 0, 1, 5, mult=3)
    np.testing.assert_allclose(wide, float(want), rtol=1e-15)


@pytest.mark.parametrize("step", [3, 7, 9, 19, 30, 50])
def test_gradients_are_those_of_the_formula(step):
    base, top, up, down, mult = 0.25, 1.0, 4.0, 2.0, 3
    cycle, place, rise, fall = exact_cycle(step, 4, 2, mult)
    power = mult ** (cycle - 1)
    before = (power - 1) // (mult - 1)  # in turns of up + down
    if place <= rise:  # place / rise, where the place is step - before * (up + down)
        height, slope = place / rise, 1 / rise
        by_up, by_down = (-before - height * power) / rise, -before / rise
    else:  # (rise + fall - place) / fall
        height, slope = (rise + fall - place) / fall, -1 / fall
        by_up = (power + before) / fall
        by_down = (power + before - height * power) / fall
    want = [0.75 * slope, 1 - height, height, 0.75 * by_up, 0.75 * by_down]

    def rate(step, base, top, up, down):
        return clr(step, base, top, up, step_size_down=down, cycle_mult=mult)

    got = jax.grad(rate, range(5))(float(step), base, top, up, down)
    np.testing.assert_allclose(got, want, rtol=2e-6, atol=1e-7)


REFUSED = [
    (TypeError, "2", "one number that is known, got cycle_mult='2', code is compiled"),
    (TypeError, True, "one number that is known, got cycle_mult=True"),
    (TypeError, np.array([2]), r"one number that is known, got cycle_mult=array\(\[2"),
    (ValueError, 0, "a whole cycle_mult .* 1 to 2.*, got cycle_mult=0, each cycle is"),
    (ValueError, 2.5, r"a whole cycle_mult .*, got cycle_mult=2\.5"),
    (ValueError, 2**31, "a whole cycle_mult .*, got cycle_mult=2147483648"),
    (ValueError, np.nan, "a whole cycle_mult .*, got cycle_mult=nan"),
]


@pytest.mark.parametrize(("error", "mult", "message"), REFUSED)
def test_what_is_no_whole_number_is_refused(error, mult, message):
    with pytest.raises(error, match=f"^clr needs (cycle_mult as )?{message}"):
        clr(3, 0.0, 1.0, 4, cycle_mult=mult)


def test_a_traced_mult_is_refused():
    with pytest.raises(TypeError, match=r"one number that is known, got .*Tracer"):
        jax.jit(lambda mult: clr(3, 0.0, 1.0, 4, cycle_mult=mult))(2)


@pytest.mark.parametrize("kind", [float, np.int8, np.float32, np.asarray, jnp.int32])
def test_a_whole_number_may_be_of_any_kind(kind):
    assert clr(10, 0.0, 1.0, 2, cycle_mult=kind(2)) == 0.5

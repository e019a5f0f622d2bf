"""Half cosines: the same cycles, annealed."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracle import LAST, draw_numbers, draw_rates, exact_rate, half_cosine

from clr_core import clr
from clr_core._triangle import _cosine

pytestmark = pytest.mark.usefixtures("strict")
MODES = ["triangular", "triangular2", "exp_range"]
cosine = functools.partial(clr, anneal="cosine")
sizes = st.integers(1, 2**30 - 1) | st.integers(1, 50)
rates = st.just(0.0) | st.floats(2.0**-40, 2.0**10, width=32)


@given(rates, rates, sizes, sizes, st.integers(0, LAST))
def test_half_the_height_is_exact(base, top, up, down, cycle):
    up, down = 2 * (up // 2 + 1), 2 * (down // 2 + 1)
    trough = cycle % max(1, LAST // (up + down)) * (up + down)
    halfway = np.array([trough + up // 2, trough + up + down // 2], np.int32)
    ends, sizes = np.float32([base, top]), np.int32([up, down])
    rising, falling = cosine(halfway, *ends, sizes[0], step_size_down=sizes[1]).tolist()
    assert rising == falling
    middle = np.float32(base) + np.float64(0.5) * (np.float32(top) - np.float32(base))
    assert rising == np.float32(middle)


@pytest.mark.parametrize("x64", [False, True])
def test_heights_of_zero_and_one_half_are_exact_in_any_code(x64):
    with jax.enable_x64(x64):
        part = jnp.array([0.0, 0.5])
        for run in (_cosine, jax.jit(_cosine), jax.vmap(_cosine)):
            assert run(part).tolist() == [0.0, 0.5]


@pytest.mark.parametrize("mode", MODES)
def test_error_is_a_millionth_of_the_amplitude(mode):
    step, up, down = draw_numbers(seed=11)
    base, top = draw_rates(seed=12)
    gamma = 1 - 10 ** np.random.default_rng(13).uniform(-10, -1, step.size)
    if mode != "exp_range":
        gamma[:] = 1
    options = {"mode": mode, "gamma": gamma}
    got = np.asarray(cosine(step, base, top, up, step_size_down=down, **options))
    for i, (s, b, m, u, d) in enumerate(zip(step, base, top, up, down, strict=True)):
        want = float(exact_rate(s, b, m, u, d, mode, gamma[i], "cosine"))
        amplitude, rounding = abs(float(m) - float(b)), max(b, m) * 2.0**-23
        assert abs(got[i] - want) <= 1e-6 * amplitude + rounding, (s, b, m, u, d)


def test_near_a_trough_of_zero_the_error_is_a_millionth_of_the_rate():
    """There (1 - cos) as it is written would cancel."""
    steps = np.array([1, 2, 3, 10, 100, 1000, 5 * 10**5 + 1, 2 * 10**6 - 1])
    got = cosine(steps, 0.0, 1.0, 10**6)
    want = [float(exact_rate(s, 0, 1, 10**6, anneal="cosine")) for s in steps]
    np.testing.assert_allclose(got, want, rtol=1e-6, atol=0)


@pytest.mark.parametrize("scale_mode", ["cycle", "iterations"])
def test_scale_fn_scales_half_cosines(scale_mode):
    steps, scale = np.arange(400), {"cycle": 1, "iterations": 80}[scale_mode]
    got = cosine(
        steps, 0.25, 2.0, 50, step_size_down=30, scale_mode=scale_mode,
        scale_fn=lambda count: jnp.exp(-count / scale),
    )  # fmt: skip
    counts = 1 + steps // 80 if scale_mode == "cycle" else steps
    plain = [float(exact_rate(s, 0, 1, 50, 30, anneal="cosine")) for s in steps]
    want = 0.25 + 1.75 * np.array(plain) * np.exp(-counts / scale)
    np.testing.assert_allclose(got, want, rtol=1e-6, atol=0)


@pytest.mark.parametrize("mode", MODES)
def test_halves_by_hand(mode):
    got = cosine(np.arange(14), 0.0, 1.0, 4, step_size_down=3, mode=mode, gamma=0.5)
    rise = [(1 - math.cos(math.pi * i / 4)) / 2 for i in range(4)]
    fall = [(1 + math.cos(math.pi * i / 3)) / 2 for i in range(3)]
    heights = np.array([*rise, *fall] * 2)
    halved = np.where(np.arange(14) < 7, 1, 0.5)
    scale = {"triangular": 1, "triangular2": halved, "exp_range": 0.5 ** np.arange(14)}
    np.testing.assert_allclose(got, heights * scale[mode], rtol=1e-6, atol=0)


def test_half_cosines_never_turn_back():
    part = np.unique(np.random.default_rng(0).uniform(0, 0.5, 10**6).astype("f4"))
    rise = np.asarray(_cosine(part)).astype(float)
    assert (np.diff(rise) >= -(2.0**-25)).all()  # half a unit in the last place of 1/2
    assert rise.max() <= 0.5


def test_x64_has_the_digits_of_float64():
    step = np.random.default_rng(0).integers(0, 2**50, 1000)
    want = [float(exact_rate(s, 0, 1, 10**9 + 7, 10**8, anneal="cosine")) for s in step]
    with jax.enable_x64(True):
        top = np.float64(1.0)
        got = cosine(step, 0.0, top, 10**9 + 7, step_size_down=10**8)
        assert got.dtype == jnp.float64
    np.testing.assert_allclose(got, want, rtol=1e-14, atol=0)


@pytest.mark.parametrize("place", [0, 1, 3, 4, 5, 7, 8, 10, 13])
def test_gradients_are_those_of_the_formula(place):
    base, top, up, down = 0.25, 1.0, 8.0, 6.0
    numbers = float(place) + 14, base, top, up, down

    def rate(step, base, top, up, down):
        return cosine(step, base, top, up, step_size_down=down)

    height = place / up if place <= up else (up + down - place) / down
    by_height = (top - base) * math.pi / 2 * math.sin(math.pi * height)
    eased = float(half_cosine(height))
    by_step = by_height * (1 / up if place <= up else -1 / down)
    by_up = -(1 + height) / up if place <= up else 2 / down
    by_down = -1 / up if place <= up else (2 - height) / down
    want = [by_step, 1 - eased, eased, by_height * by_up, by_height * by_down]
    got = jax.grad(rate, range(5))(*numbers)
    np.testing.assert_allclose(got, want, rtol=3e-6, atol=3e-7)


def test_linear_is_the_default():
    steps = np.arange(1000)
    plain = clr(steps, 0.1, 0.3, 7, step_size_down=3)
    same = clr(steps, 0.1, 0.3, 7, step_size_down=3, anneal="linear")
    np.testing.assert_array_equal(plain, same)

"""Numbers of every kind count alike, fit, or are refused in words."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracle import LAST, exact_rate

from clr_core import clr

pytestmark = pytest.mark.usefixtures("strict")
FLOATS = [float, np.float64, np.float32, np.float16, np.asarray, jnp.float32]
FLOATS += [jnp.bfloat16, jnp.asarray]


@pytest.mark.parametrize("kind", FLOATS)
def test_whole_floats_of_any_kind_count_as_integer_sizes(kind):
    assert clr(10**9 + 1, 0.0, 1.0, kind(10.0)) == np.float32(0.1)
    assert clr(np.int32(LAST - 6), 0.0, 1.0, 8, step_size_down=kind(8.0)) == 0.875
    assert clr(jnp.arange(3) + 10**9, 0.0, 1.0, kind(4.0)).tolist() == [0, 0.25, 0.5]


@pytest.mark.parametrize("kind", [np.float16, jnp.float16, jnp.bfloat16])
def test_a_gamma_of_half_precision_is_the_number_that_it_is(kind):
    gamma = kind(0.993)
    rate = functools.partial(clr, 1004, 0.0, 1.0, 4, mode="exp_range")
    expected = float(gamma) ** 1004
    np.testing.assert_allclose(rate(gamma=gamma), expected, rtol=3e-5)
    np.testing.assert_allclose(jax.jit(lambda g: rate(gamma=g))(gamma), expected, 3e-5)


@pytest.mark.parametrize("kind", [float, np.float64, np.asarray])
def test_whole_floats_count_as_integer_steps(kind):
    for step in (5, 2**24 + 1, LAST - 2):
        assert clr(kind(float(step)), 0.125, 1.0, 7) == clr(step, 0.125, 1.0, 7)


@pytest.mark.parametrize("place", ["step", "step_size", "step_size_down"])
@pytest.mark.parametrize("kind", [np.float64, np.asarray, jnp.asarray])
@pytest.mark.parametrize("scale", [{}, {"scale_fn": jnp.cos}])
def test_whole_floats_lend_their_type(place, kind, scale):
    def rate(value):
        numbers = {"step": 3, "base_lr": 0.1, "max_lr": 0.7, "step_size": 4}
        return clr(**numbers | scale | value)

    with jax.enable_x64(True):
        value = {place: kind(np.float64(4.0))}
        eager, compiled = rate(value), jax.jit(rate)(value)
    assert eager.dtype == compiled.dtype == jnp.float64
    np.testing.assert_allclose(eager, compiled, rtol=1e-15)
    rate32 = rate({place: np.float64(4.0)})
    assert (rate32.dtype, rate32.weak_type) == (jnp.float32, False)


@pytest.mark.parametrize("kind", [float, np.float32, jnp.float32])
def test_fractions_of_a_step_stay_fractions(kind):
    assert clr(kind(4.5), 0.0, 1.0, 4) == 0.875
    got = clr(jnp.array([kind(0.5), kind(8.25)]), 0.0, 1.0, 4)
    assert got.tolist() == [0.125, 0.0625]
    np.testing.assert_allclose(clr(2, 0.0, 1.0, kind(1.5)), 2 / 3, rtol=1e-6)


def test_floats_past_the_integers_stay_floats():
    assert clr(1e30, 0.0, 1.0, 2.0**100) == float(np.float32(1e30) / 2.0**100)
    assert clr(3, 0.25, 1.0, 1e30) == 0.25


KINDS = [int, np.int64, np.uint32, np.uint64, lambda x: np.array([4, x])]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("place", ["step", "step_size", "step_size_down"])
def test_integers_past_int32_are_refused_in_words(place, kind):
    numbers = {"step": 5, "base_lr": 0.0, "max_lr": 1.0, "step_size": 4}
    message = (
        rf"^clr needs {place} that fits int32, got {place}=.*{2**31}.*, "
        r"jax.config.update\('jax_enable_x64', True\) allows more\."
    )
    for scale in ({}, {"scale_fn": jnp.sin}):
        with pytest.raises(OverflowError, match=message):
            clr(**numbers | {place: kind(2**31)} | scale)
    with pytest.raises(OverflowError, match=message):
        jax.jit(lambda top: clr(**numbers | {place: kind(2**31), "max_lr": top}))(1.0)
    assert clr(**numbers | {place: kind(LAST)}).dtype == jnp.float32


@pytest.mark.parametrize("step", [-(2**31) - 1, np.array([3, -(2**31) - 5])])
def test_integers_below_int32_are_refused_too(step):
    with pytest.raises(OverflowError, match="clr needs step that fits int32, got step"):
        clr(step, 0.0, 1.0, 4)


def test_x64_fits_more_and_says_where_it_ends():
    message = "clr needs step that fits int64, got step="
    with jax.enable_x64(True):
        for kind in KINDS:
            assert np.all(np.asarray(clr(kind(2**31 + 4), 0.0, 1.0, 8)) == 0.5)
        for step in (2**63, np.uint64(2**63), -(2**63) - 1):
            with pytest.raises(OverflowError, match=message) as refused:
                clr(step, 0.0, 1.0, 4)
            assert "x64" not in str(refused.value)


def test_infinite_steps_are_those_before_the_start_or_nan():
    for kind in (float, np.float32, np.asarray, jnp.asarray):
        assert clr(kind(-np.inf), 0.25, 1.0, 4) == 0.25
        with jax.debug_nans(False):
            assert np.isnan(clr(kind(np.inf), 0.25, 1.0, 4))
            assert np.isnan(clr(kind(np.nan), 0.25, 1.0, 4))


@pytest.mark.parametrize("tiny", [1e-45, 1e-40, 1.1e-38])
def test_bounds_that_are_no_normal_float32_may_count_as_zero(tiny):
    """XLA flushes them on a CPU, and may keep them elsewhere."""
    steps = np.arange(9)
    for base, top in ((tiny, tiny), (0.0, tiny), (tiny, 1.0)):
        got = clr(steps, base, top, 4)
        for step, rate in zip(steps, got.tolist(), strict=True):
            want = float(exact_rate(step, base, top, 4))
            assert abs(rate - want) <= np.finfo(np.float32).tiny + 1e-6 * want


def fade(step):
    return 1 / (1 + 1e-9 * step**2)  # step**2 leaves int32 at 46,341


def halve(cycle):
    return 1 / 2 ** (cycle - 1)  # 2**31 would be negative in int32, 2**32 be 0


@pytest.mark.parametrize("cycle", [1, 30, 32, 33, 100, 2**29])
def test_scale_fn_of_a_cycle_is_given_floats(cycle):
    peak, want = 2 * cycle - 1, 2.0 ** -min(cycle - 1, 1000)
    assert clr(peak, 0.0, 1.0, 1, scale_fn=halve) == np.float32(want)


@pytest.mark.parametrize("step", [46_340, 46_341, 2**24, 2**30])
def test_scale_fn_of_a_step_is_given_floats(step):
    rate = clr(step, 0.0, 1.0, step, scale_fn=fade, scale_mode="iterations")
    np.testing.assert_allclose(rate, 1 / (1 + 1e-9 * float(step) ** 2), rtol=1e-6)


def given(step, x64=False, top=1.0, scale_mode="iterations"):
    """Returns what `scale_fn` is given at a step."""
    seen = []

    def look(count):
        seen.append(count)
        return 1.0

    with jax.enable_x64(x64):
        clr(step, 0.0, top, 1, scale_fn=look, scale_mode=scale_mode)
    [count] = seen
    return count


def test_scale_fn_is_given_whole_numbers_to_2_to_the_24th():
    count = 2**24
    for step in (0, 1, count - 1, count):
        assert int(given(step)) == step
    assert int(given(count + 1)) == count  # rounded to even
    cycles = [int(given(2 * i, scale_mode="cycle")) for i in (0, count - 1, count)]
    assert cycles == [1, count, count]


def test_scale_fn_is_given_the_type_of_the_rate():
    count = 2**24 + 1
    assert given(3).dtype == given(3, x64=True).dtype == jnp.float32
    wide = given(count, x64=True, top=np.float64(1.0))
    assert (wide.dtype, int(wide)) == (jnp.float64, count)
    for step in (3, 3.5, np.int8(3), jnp.uint32(3)):
        assert not given(step).weak_type


@pytest.mark.parametrize("dtype", [np.int8, np.int64, np.uint64])
def test_no_steps_at_all_have_no_rates(dtype):
    rates = clr(np.zeros((2, 0), dtype), 0.0, 1.0, 4)
    assert (rates.shape, rates.dtype) == ((2, 0), np.float32)

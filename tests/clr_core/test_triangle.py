"""The arithmetic is exact at every step of every cycle."""

from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracle import LAST, draw_numbers, draw_rates, exact_rate

from clr_core import clr
from clr_core._triangle import divide, power_of_half

pytestmark = pytest.mark.usefixtures("strict")


@pytest.mark.parametrize("mode", ["triangular", "triangular2"])
def test_error_is_a_millionth_of_the_rate(mode):
    step, up, down = draw_numbers(seed=1)
    base, top = draw_rates(seed=2)  # as often falling as rising
    got = clr(step, base, top, up, step_size_down=down, mode=mode)
    for rate, *numbers in zip(np.asarray(got), step, base, top, up, down, strict=True):
        want = exact_rate(*numbers, mode=mode)
        limit = Fraction(1, 10**6) * want + Fraction(1, 2**126)
        assert abs(Fraction(float(rate)) - want) <= limit, numbers


@pytest.mark.parametrize("scale", ["gamma", "cycle", "iterations"])
def test_error_is_a_millionth_of_the_amplitude(scale):
    step, up, down = draw_numbers(seed=3)
    base, top = draw_rates(seed=4)
    fade = 10 ** np.random.default_rng(5).uniform(-10, 0, step.size)
    gamma = 1.0 - fade  # 1 - 1e-10 too, which float32 cannot tell from 1
    numbers = step, base, top, up
    if scale == "gamma":
        got = clr(*numbers, step_size_down=down, mode="exp_range", gamma=gamma)
    else:
        got = clr(
            *numbers,
            step_size_down=down,
            scale_fn=lambda count: (count % 8) / 8,
            scale_mode=scale,
        )
    rates = np.asarray(got)
    for i, (s, b, m, u, d) in enumerate(zip(*numbers, down, strict=True)):
        count = {"cycle": 1 + int(s) // (int(u) + int(d)), "iterations": int(s)}
        count = {name: int(np.float32(x)) for name, x in count.items()}
        if scale == "gamma":
            want = exact_rate(s, b, m, u, d, "exp_range", gamma[i])
        else:
            unscaled = exact_rate(s, b, m, u, d) - Fraction(float(b))
            want = Fraction(float(b)) + unscaled * Fraction(count[scale] % 8, 8)
        amplitude = abs(Fraction(float(m)) - Fraction(float(b)))
        rounding = Fraction(float(max(b, m))) / 2**23
        error = abs(Fraction(float(rates[i])) - want)
        assert error <= amplitude / 10**6 + rounding, (s, b, m, u, d)


def test_division_is_exact_for_every_byte():
    number, by = np.mgrid[:256, 1:256].astype(np.uint8)
    quotient, remainder = jax.vmap(jax.vmap(divide))(number, by)
    np.testing.assert_array_equal(quotient, number // by)
    np.testing.assert_array_equal(remainder, number % by)


@pytest.mark.parametrize("bits", [32, 64])
def test_division_is_exact_for_words(bits):
    rng = np.random.default_rng(bits)
    n, word, most = 200_000, f"uint{bits}", 2**bits - 1
    by = np.minimum(2.0 ** rng.uniform(1, bits, n), most - most // 1000).astype(word)
    by[:3] = 2, most, most - 1
    number = rng.integers(0, most, n, dtype=word, endpoint=True)
    edge = number - number % by + rng.integers(-1, 2, n).astype(word)  # may wrap
    number = np.where(rng.random(n) < 0.5, number, edge)
    with jax.enable_x64(bits == 64):
        quotient, remainder = divide(jnp.asarray(number), jnp.asarray(by))
        assert quotient.dtype == remainder.dtype == word
    np.testing.assert_array_equal(quotient, number // by)
    np.testing.assert_array_equal(remainder, number % by)


@pytest.mark.parametrize("bits", [32, 64])
def test_powers_of_half_are_exact_and_end_in_zero(bits):
    info = np.finfo(f"float{bits}")
    with jax.enable_x64(bits == 64):
        exponent = np.array([*range(1 - info.minexp), 3000, LAST], np.int32)
        got = power_of_half(jnp.asarray(exponent), info.dtype)
    want = np.ldexp(1.0, -exponent.astype(np.int64))
    np.testing.assert_array_equal(got, np.where(want >= info.tiny, want, 0))

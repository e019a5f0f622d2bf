"""The paper's formula in exact fractions, as every test's judge."""

import math
from fractions import Fraction

import numpy as np

LAST = 2**31 - 1


def exact_cycle(step, up, down, mult=1):
    """Returns the cycle of a step, its place in it, and how long its halves are."""
    if mult == 1:
        return 1 + step // (up + down), step % (up + down), up, down
    cycle = 1
    while step >= up + down:
        step, up, down, cycle = step - up - down, mult * up, mult * down, cycle + 1
    return cycle, step, up, down


def exact_height(place, up, down):
    """Returns how high the triangle is at a place of it, from 0 to 1."""
    return Fraction(place, up) if place <= up else Fraction(up + down - place, down)


def half_cosine(height):
    """Returns (1 - cos(pi * height)) / 2, to 16 digits and without cancellation."""
    if height > Fraction(1, 2):
        return 1 - half_cosine(1 - height)
    if height == Fraction(1, 2):
        return height
    return Fraction(math.sin(math.pi / 2 * float(height))) ** 2


def exact_scale(step, cycle, mode, gamma=1.0):
    """Returns s: the fraction 1 or 1/2**(cycle - 1), or gamma**step in float64."""
    if mode == "triangular2":
        return Fraction(1, 2 ** min(cycle - 1, 1100))
    return Fraction(float(gamma) ** step) if mode == "exp_range" else Fraction(1)


def exact_rate(
    step,
    base,
    top,
    up,
    down=None,
    mode="triangular",
    gamma=1.0,
    anneal="linear",
    mult=1,
):
    """Returns the rate as a fraction; the numbers are taken as they are stored."""
    step, up, down = int(step), int(up), int(up if down is None else down)
    base, top = Fraction(float(base)), Fraction(float(top))
    cycle, *place = exact_cycle(step, up, down, mult)
    height = exact_height(*place)
    height = half_cosine(height) if anneal == "cosine" else height
    scale = exact_scale(step, cycle, mode, gamma)
    return base + (top - base) * height * scale


def draw_numbers(seed, n=10_000):
    """Returns steps and sizes from 0 or 1 to 2**31 - 1, many of them at corners."""
    rng = np.random.default_rng(seed)

    def sizes():
        drawn = (2 ** rng.uniform(0, 31, n)).astype(np.int64)
        extreme = rng.choice([1, 2, 3, LAST - 1, LAST], n)
        return np.where(rng.random(n) < 0.2, extreme, drawn)

    up, down = sizes(), sizes()
    step = rng.integers(0, LAST, n, endpoint=True)
    trough = step - step % (up + down)
    near = trough + rng.choice([0, 1], n) * up + rng.integers(-2, 3, n)
    last = LAST - rng.integers(0, 99, n)
    kind = rng.integers(0, 3, n)
    step = np.clip(np.choose(kind, [step, near, last]), 0, LAST)
    return tuple(x.astype(np.int32) for x in (step, up, down))


def draw_rates(seed, n=10_000):
    """Returns lower and upper rates, as often falling as rising, some of them 0."""
    rng = np.random.default_rng(seed)
    rates = (10 ** rng.uniform(-6, 1, (2, n))).astype(np.float32)
    rates[rng.random((2, n)) < 0.1] = 0
    return rates

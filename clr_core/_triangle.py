"""The arithmetic of a cycle, exact however many cycles have passed."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.typing import ArrayLike

from clr_core._numbers import Float


@functools.partial(jax.jit, static_argnames=("anneal", "kind", "mult"), inline=True)
def triangle(
    step: ArrayLike,
    up: ArrayLike,
    down: ArrayLike | None,
    anneal: str,
    kind: Float,
    mult: int,
) -> tuple[Array, Array, Array, Array]:
    """Returns part, upper, cycle and step.

    Above half the height of the triangle, `upper` is true and `part` counts from the
    peak; below, it counts from the trough. It is from 0 to 1/2, of the type `kind`.
    """
    step, up = jnp.asarray(step), jnp.asarray(up)
    down = up if down is None else jnp.asarray(down)
    step = jnp.where(step < 0, 0, step)
    floating = any(jnp.issubdtype(x.dtype, jnp.floating) for x in (step, up, down))
    if floating:
        signed = np.dtype(kind)
        step, up, down = step.astype(kind), up.astype(kind), down.astype(kind)
        total = up + down
        place = lax.rem(*jnp.broadcast_arrays(step, total))
        turns = jnp.round((step - place) / total)
        cycle = 1 + turns
    else:
        bits = 64 if any(x.dtype.itemsize == 8 for x in (step, up, down)) else 32
        word, signed = np.dtype(f"uint{bits}"), np.dtype(f"int{bits}")
        step, up, down = step.astype(word), up.astype(word), down.astype(word)
        total = up + down
        turns, place = divide(step, total)
        step, cycle = step.astype(signed), 1 + turns.astype(signed)
    if mult > 1:
        cycle, before = _grown(turns, mult)
        place += (turns - before) * total
        up, rise = _longer(up, before, mult, kind)
        down, fall = _longer(down, before, mult, kind)
        total = up + down
        if floating:
            place = jnp.minimum(place, total)
    rising = place <= up
    side = jnp.where(rising, up, down)
    above = jnp.where(rising, place, total - place)
    upper = above > side - above
    near = jnp.where(upper, side - above, above)
    length = side.astype(signed).astype(kind)
    if mult > 1:
        length = jnp.where(rising, rise, fall)
    part = near.astype(signed).astype(kind) / length
    return _cosine(part) if anneal == "cosine" else part, upper, cycle, step


def divide(number: Array, by: Array) -> tuple[Array, Array]:
    """Returns quotient and remainder of unsigned integers, exactly.

    Divides once per divisor, not once per number, and so vectorizes. With n bits and
    m = floor((2**n - 1) / by), number / by - number * m / 2**n <= number / 2**n < 1:
    the high word of number * m is the quotient or one less. Half words multiply it.
    """
    half = number.dtype.itemsize * 4
    low = (1 << half) - 1
    m = jnp.full_like(by, ~by.dtype.type(0)) // by
    a, b, c, d = number >> half, number & low, m >> half, m & low
    carry = a * d + (b * d >> half)
    quotient = a * c + (carry >> half) + (b * c + (carry & low) >> half)
    remainder = number - quotient * by
    short = remainder >= by
    remainder = jnp.where(short, remainder - by, remainder)
    return quotient + short.astype(by.dtype), remainder


def _grown(turns: Array, mult: int) -> tuple[Array, Array]:
    """Returns the cycle after so many turns, and how many turns came before it.

    A turn is as long as the first cycle; there are 31 cycles of 32 bits at most.
    """
    cycle, before, end = jnp.ones_like(turns), jnp.zeros_like(turns), 1
    while end < 2 ** (8 * turns.dtype.itemsize - 1):
        over = turns >= end
        cycle += over.astype(turns.dtype)
        before = jnp.where(over, end, before)
        end = end * mult + 1
    return cycle, before


def _longer(side: Array, before: Array, mult: int, kind: Float) -> tuple[Array, Array]:
    """Returns a half of the first cycle as long as after so many turns, twice.

    As an integer it is the largest where it does not fit: no step is past its middle
    then. As a float it always fits.
    """
    length = side.astype(kind) * (before.astype(kind) * (mult - 1) + 1)
    longer = side * (before * (mult - 1) + 1)
    if jnp.issubdtype(side.dtype, jnp.floating):
        return longer, longer
    most = np.iinfo(side.dtype).max
    fits = length < float(most - (most >> 20))  # of 24 bits, some are rounded
    longer = jnp.where(fits, longer, side.dtype.type(most))
    return longer, jnp.where(fits, longer.astype(kind), length)


def power_of_half(exponent: Array, kind: Float) -> Array:
    """Returns 2**-exponent as the bits of a float, which end in 0, exactly."""
    info = np.finfo(kind)
    bias = info.maxexp - 1
    bits = (bias - jnp.minimum(exponent, bias)).astype(f"int{info.bits}")
    return lax.bitcast_convert_type(bits << info.nmant, kind)


def _cosine(part: Array) -> Array:
    """Returns (1 - cos(pi * part)) / 2 for parts from 0 to 1/2, exact at both.

    With u = part**2 it is u * (2 + (u - 1/4) * r(u)), where r is a power series: at
    u = 0 and 1/4 nothing rounds, whatever is fused, and near 0 nothing cancels.
    """
    u = jnp.square(part)
    r = jnp.zeros_like(u)
    for coefficient in _REST:
        r = r * u + coefficient
    return u * (2 + (u - 0.25) * r)


def _rest(terms: int) -> tuple[float, ...]:
    """Returns the coefficients of r, the highest first, by Horner's division."""
    found: list[float] = []
    for k in range(terms, 0, -1):
        n = 2 * k + 2
        term = (-1) ** k * math.pi**n / (2 * math.factorial(n))
        found.append(term + (found[-1] / 4 if found else 0))
    return tuple(found)


_REST = _rest(10)


@functools.partial(jax.jit, inline=True)
def blend(
    base_lr: ArrayLike, max_lr: ArrayLike, part: Array, upper: Array, scale: ArrayLike
) -> Array:
    """Returns base + (max - base) * height * scale, measured from the nearer end.

    `part`, a quotient, is used once: XLA then makes one loop of everything, and would
    otherwise write the quotients to memory and do the integer arithmetic twice.
    """
    base, top, scale = (
        jnp.asarray(x).astype(part.dtype) for x in (base_lr, max_lr, scale)
    )
    from_top = upper & (scale > 0.5)
    intercept = jnp.where(upper, scale - from_top.astype(part.dtype), 0)
    slope = jnp.where(upper, -scale, scale)
    origin = jnp.where(from_top, top, base)
    return origin + (intercept + slope * part) * (top - base)

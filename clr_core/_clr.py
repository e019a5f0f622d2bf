"""The cyclical learning rate: one pure function of the step."""

from typing import Any

import numpy as np
from jax import Array
from jax.typing import ArrayLike

from clr_core._numbers import whole_mult
from clr_core._rate import ScaleFn, rate_of_mode, rate_of_scale_fn
from clr_core._words import Anneal, Mode, ScaleMode, word_of


def clr(
    step: ArrayLike,
    base_lr: ArrayLike,
    max_lr: ArrayLike,
    step_size: ArrayLike,
    *,
    step_size_down: ArrayLike | None = None,
    cycle_mult: int | np.integer[Any] = 1,
    mode: Mode = "triangular",
    gamma: ArrayLike = 1.0,
    scale_fn: ScaleFn | None = None,
    scale_mode: ScaleMode = "cycle",
    anneal: Anneal = "linear",
) -> Array:
    """Returns the cyclical learning rate at a step.

    The rate climbs from ``base_lr`` to ``max_lr`` in ``step_size`` steps, falls back in
    as many, and begins again. Nothing is remembered between two calls.

    >>> from clr_core import clr
    >>> float(clr(1000, base_lr=0.25, max_lr=0.75, step_size=2000))
    0.5

    The rate in full is

        total = step_size + step_size_down
        r     = step mod total
        cycle = 1 + floor(step / total)
        h     = r / step_size                if r <= step_size
                (total - r) / step_size_down otherwise
        h     = (1 - cos(pi * h)) / 2        if anneal is "cosine"
        rate  = base_lr + (max_lr - base_lr) * h * s

    where ``s`` is 1 (triangular), ``2 ** -(cycle - 1)`` (triangular2),
    ``gamma ** step`` (exp_range), or ``scale_fn`` of the cycle or the step.

    With a ``cycle_mult`` of m, cycle k begins at step ``total * (1 + m + ... +
    m ** (k - 2))``. There ``r`` counts from that step, and both halves are
    ``m ** (k - 1)`` times as long.

    Every number may be a Python number, an array or a tracer: ``jit``, ``vmap`` and
    ``grad`` reach each of them, arrays are broadcast together, and other values never
    compile again. The numbers are not checked: ``clr_optax.clr_schedule`` does that.

    Args:
        step: the number of updates done before this one, from 0 to ``2**31 - 1`` (to
            ``2**63 - 1`` under x64), any shape. Before step 0 the rate is that of step
            0; infinity and NaN give NaN.
        base_lr: the rate at the ends of a cycle.
        max_lr: the rate at the middle of a cycle, before scaling. If it is below
            ``base_lr``, the cycle is a dip.
        step_size: the number of steps in HALF a cycle, the rising half: 1 or more. The
            papers advise 2 to 10 epochs' worth.
        step_size_down: the number of steps in the falling half; default ``step_size``.
        cycle_mult: how many times as long each cycle is as the one before, both halves
            alike: a whole number from 1, the default, to ``2**31 - 1``. It is no array
            and no tracer, as code is compiled for its value.
        mode: how the amplitude changes. ``"triangular"``, the default, keeps it,
            ``"triangular2"`` halves it after every cycle, ``"exp_range"`` multiplies it
            by ``gamma`` at every step.
        gamma: the factor of ``"exp_range"``, in (0, 1]; default 1.
        scale_fn: takes the place of ``mode``: maps the cycle (from 1) or the step to
            the factor ``s``, in ``jax.numpy``.
        scale_mode: what ``scale_fn`` is given: ``"cycle"``, the default, or
            ``"iterations"``, the step.
        anneal: ``"linear"``, the default, or ``"cosine"``: each half rises and falls as
            half a cosine.

    Returns:
        The rate, of the broadcast shape: float32, or float64 under x64 if any number
        has that type itself, as a NumPy or JAX value.

    Raises:
        TypeError: ``anneal``, or what is read of ``mode`` and ``scale_mode``, is no
            text, or ``cycle_mult`` no number that is known.
        ValueError: one of them is unknown, ``cycle_mult`` is out of its range, or with
            ``"exp_range"`` a Python number given as ``gamma`` is not above 0.
        OverflowError: a step or step size whose value is known is an integer past
            ``2**31 - 1``, and x64 is off.

    Examples:
        Half a cycle is 4 steps here, so that a whole one is 8:

        >>> import jax, jax.numpy as jnp
        >>> clr(jnp.arange(9), 0.0, 1.0, 4)
        Array([0.  , 0.25, 0.5 , 0.75, 1.  , 0.75, 0.5 , 0.25, 0.  ], dtype=float32)

        A slow rise and a fast fall:

        >>> clr(jnp.arange(7), 0.0, 1.0, 4, step_size_down=2)
        Array([0.  , 0.25, 0.5 , 0.75, 1.  , 0.5 , 0.  ], dtype=float32)

        Each cycle twice as long as the one before:

        >>> clr(jnp.arange(7), 0.0, 1.0, 1, cycle_mult=2)
        Array([0. , 1. , 0. , 0.5, 1. , 0.5, 0. ], dtype=float32)

        Half a cosine up, half a cosine down:

        >>> [float(clr(step, 0.0, 1.0, 4, anneal="cosine")) for step in (0, 2, 4, 6, 8)]
        [0.0, 0.5, 1.0, 0.5, 0.0]

        The peaks of the first three cycles, each half as high as the one before:

        >>> clr(jnp.array([4, 12, 20]), 0.0, 1.0, 4, mode="triangular2")
        Array([1.  , 0.5 , 0.25], dtype=float32)

        Shrinking with every step, ``0.5 ** 4`` at the peak:

        >>> float(clr(4, 0.0, 1.0, 4, mode="exp_range", gamma=0.5))
        0.0625

        A scale of your own, here one over the number of the cycle:

        >>> clr(jnp.array([4, 12, 28]), 0.0, 1.0, 4, scale_fn=lambda cycle: 1 / cycle)
        Array([1.  , 0.5 , 0.25], dtype=float32)

        The same by the global step, down to nothing at step 32:

        >>> def fade(step):
        ...     return jnp.maximum(1 - step / 32, 0)
        >>> clr(jnp.array([4, 12]), 0.0, 1.0, 4, scale_fn=fade, scale_mode="iterations")
        Array([0.875, 0.625], dtype=float32)

        Four schedules at once, and how the rate at step 5 answers to ``max_lr``:

        >>> jax.vmap(lambda top: clr(5, 0.0, top, 4))(jnp.array([1.0, 2.0, 4.0, 8.0]))
        Array([0.75, 1.5 , 3.  , 6.  ], dtype=float32)
        >>> float(jax.grad(lambda top: clr(5, 0.0, top, 4))(1.0))
        0.75

    Notes:
        Integer steps and step sizes are reduced as integers, so that the two-billionth
        step is as exact as the first. The rate is then ``base_lr`` at each trough and
        ``max_lr`` at each unscaled peak, to the last bit. As long as ``s`` stays within
        0 and 1, it is never outside of the two. Elsewhere eager and compiled code may
        differ by 2 units in the last place, where XLA fuses a product and a sum. Bounds
        below 1.2e-38, which are no normal float32, may count as 0.

        Floats as steps: one whose value is known and whole counts as that integer. A
        fraction of a step, a traced float or an array of floats makes the arithmetic
        floating, exact up to step 2**24 in float32.

        ``gamma``: Python and NumPy numbers keep their 53 bits. A traced float32 has 24:
        0.99994 is then off by up to 3e-8, and ``gamma ** step`` by up to 2e-4.

        ``scale_fn`` is given whole numbers as floats of the type of the rate: in
        float32 exact up to 2**24, 16,777,216, and rounded beyond. It is traced under
        ``jit``, and runs eagerly in an eager call.

        The rate is never weakly typed, and Python numbers never ask for float64. Its
        slope at a corner is that of the rising side.

    References:
        Leslie N. Smith, "Cyclical Learning Rates for Training Neural Networks", 2017,
        https://arxiv.org/abs/1506.01186
    """
    anneal = word_of("clr", "anneal", anneal, Anneal)
    if type(cycle_mult) is not int or cycle_mult != 1:
        cycle_mult = whole_mult("clr", cycle_mult)
    if scale_fn is None:
        mode = word_of("clr", "mode", mode, Mode)
        return rate_of_mode(
            step,
            step_size,
            step_size_down,
            base_lr,
            max_lr,
            gamma,
            mode,
            anneal,
            cycle_mult,
        )
    scale_mode = word_of("clr", "scale_mode", scale_mode, ScaleMode)
    return rate_of_scale_fn(
        step,
        step_size,
        step_size_down,
        base_lr,
        max_lr,
        scale_fn,
        scale_mode,
        anneal,
        cycle_mult,
    )

"""The cyclical learning rate: one pure function of the step."""

import difflib
import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from clr_core._triangle import blend, float_type, power_of_half, triangle

MODES = ("triangular", "triangular2", "exp_range")
SCALE_MODES = ("cycle", "iterations")
_PLAIN = frozenset({int, float, type(None)})


def clr(
    step: ArrayLike,
    base_lr: ArrayLike,
    max_lr: ArrayLike,
    step_size: ArrayLike,
    *,
    step_size_down: ArrayLike | None = None,
    mode: str = "triangular",
    gamma: ArrayLike = 1.0,
    scale_fn: Callable[[Array], ArrayLike] | None = None,
    scale_mode: str = "cycle",
) -> Array:
    """Returns the cyclical learning rate at a step.

    The rate climbs from ``base_lr`` to ``max_lr`` in ``step_size`` steps, falls back
    in ``step_size_down`` steps, and begins again::

        total = step_size + step_size_down
        r     = step mod total
        cycle = 1 + floor(step / total)
        h     = r / step_size                if r <= step_size
                (total - r) / step_size_down otherwise
        rate  = base_lr + (max_lr - base_lr) * h * s

    where ``s`` is 1 (triangular), ``2 ** -(cycle - 1)`` (triangular2),
    ``gamma ** step`` (exp_range), or ``scale_fn`` of the cycle or the step.

    Every number may be a Python number, an array or a tracer: ``jit``, ``vmap`` and
    ``grad`` reach each of them, all broadcast together, and other values never
    compile again. Integer steps and step sizes are reduced as integers, so that the
    two-billionth step is as exact as the first: the rate is ``base_lr`` at each
    trough, ``max_lr`` at each unscaled peak, and, as long as ``s`` stays within 0 and
    1, between them everywhere, to the last bit. Other steps may differ by 2 units in
    the last place between eager and compiled code, where XLA fuses a product and a
    sum. Nothing is checked but the names of the modes: ``clr_optax.clr_schedule``
    checks the numbers.

    Args:
        step: the number of updates done before this one, from 0 to 2**31 - 1 (to
            2**63 - 1 under x64), any shape. Floats are fractions of a step. Before
            step 0 the rate is that of step 0; a float that is not finite gives NaN.
        base_lr: the rate at the ends of a cycle.
        max_lr: the rate at the middle of a cycle, before scaling. If it is below
            ``base_lr``, the cycle is a dip.
        step_size: the number of steps in half a cycle, the rising half: at least 1;
            the papers advise 2 to 10 epochs' worth. A float holding a whole number
            counts as that integer; a traced float or a fraction makes the arithmetic
            floating, exact up to step 2**24 in float32.
        step_size_down: the number of steps in the falling half; default ``step_size``.
        mode: ``"triangular"`` keeps the amplitude, ``"triangular2"`` halves it after
            every cycle, ``"exp_range"`` shrinks it by ``gamma`` at every step.
        gamma: the factor of ``"exp_range"``, in (0, 1]. Python and NumPy numbers keep
            their 53 bits. A traced float32 has 24, which near 1 is coarse: 0.99994
            itself is off by up to 3e-8, and ``gamma ** step`` by up to 2e-4 then.
        scale_fn: takes the place of ``mode``: maps the cycle (from 1) or the step to
            the factor ``s``. It is called with an array of whole numbers (int32 for
            integer steps) and is traced under ``jit``; an eager call runs it eagerly.
        scale_mode: ``"cycle"`` or ``"iterations"``: what ``scale_fn`` is given.

    Returns:
        The rate, of the broadcast shape: float32, or float64 under x64 if any number
        has that type itself, as a NumPy or JAX value. Python numbers never ask for
        float64. Never weakly typed. Its slope at a corner is that of the rising side.

    Raises:
        ValueError: if ``mode`` or ``scale_mode`` is unknown, or a Python number given
            as ``gamma`` has no logarithm.

    Examples:
        Half a cycle is 4 steps here, so that a whole one is 8:

        >>> import jax, jax.numpy as jnp
        >>> from clr_core import clr
        >>> float(clr(1, 0.0, 1.0, 4))
        0.25
        >>> clr(jnp.arange(9), 0.0, 1.0, 4)
        Array([0.  , 0.25, 0.5 , 0.75, 1.  , 0.75, 0.5 , 0.25, 0.  ], dtype=float32)

        A slow rise and a fast fall:

        >>> clr(jnp.arange(7), 0.0, 1.0, 4, step_size_down=2)
        Array([0.  , 0.25, 0.5 , 0.75, 1.  , 0.5 , 0.  ], dtype=float32)

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

    References:
        Leslie N. Smith, "Cyclical Learning Rates for Training Neural Networks", 2017,
        https://arxiv.org/abs/1506.01186
    """
    up = _whole(step_size)
    down = None if step_size_down is None else _whole(step_size_down)
    rate: Array
    if scale_fn is None:
        if mode not in MODES:
            raise ValueError(misspelt("clr", "mode", mode, MODES))
        log_gamma = _log(gamma) if mode == "exp_range" else None
        numbers: tuple[Any, ...] = base_lr, max_lr, up, down, log_gamma
        if type(step) is int and _PLAIN.issuperset(map(type, numbers)):
            numbers = _on_device(jax.dtypes.canonicalize_dtype(int), *numbers)
        rate = _rate(step, *numbers, mode)
    else:
        if scale_mode not in SCALE_MODES:
            raise ValueError(misspelt("clr", "scale_mode", scale_mode, SCALE_MODES))
        part, upper, cycle, count = triangle(step, up, down, base_lr, max_lr)
        scale = scale_fn(cycle if scale_mode == "cycle" else count)
        rate = blend(base_lr, max_lr, part, upper, scale)
    return rate


def misspelt(function: str, name: str, value: object, known: Sequence[str]) -> str:
    """Returns the message for a name that is not among the known ones."""
    near = difflib.get_close_matches(str(value), known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else "see help for what each does."
    choices = " or ".join(map(repr, known))
    return f"{function} needs {name} {choices}, got {name}={value!r}, {hint}"


def _whole(size: ArrayLike) -> ArrayLike:
    return int(size) if type(size) is float and size.is_integer() else size


def _log(gamma: Any) -> Any:
    """Returns the logarithm, taken with 53 bits where the number is at hand."""
    if isinstance(gamma, np.ndarray | np.generic):
        exact = np.log(gamma.astype(np.float64))
        return exact if gamma.dtype == np.float64 else exact.astype(np.float32)
    if isinstance(gamma, jax.Array):
        return _log_of_array(gamma)
    if gamma <= 0:
        raise ValueError(f"clr needs 0 < gamma <= 1, got gamma={gamma}.")
    return math.log(gamma)


@functools.lru_cache(maxsize=64, typed=True)
def _on_device(integer: np.dtype, *numbers: float | None) -> tuple[Array | None, ...]:
    """Returns Python numbers as arrays, and the same arrays when asked again.

    In an eager call of 10 us, handing over each Python number takes 1 or 2. The type
    of an integer tells x64 from not, for the arrays are different then.
    """
    with jax.ensure_compile_time_eval():
        return tuple(None if x is None else jnp.asarray(x) for x in numbers)


@jax.jit
def _log_of_array(gamma: Array) -> Array:
    return jnp.log(gamma.astype(float_type(gamma)))


@functools.partial(jax.jit, static_argnums=6)
def _rate(
    step: ArrayLike,
    base_lr: ArrayLike,
    max_lr: ArrayLike,
    up: ArrayLike,
    down: ArrayLike | None,
    log_gamma: ArrayLike | None,
    mode: str,
) -> Array:
    part, upper, cycle, count = triangle(step, up, down, base_lr, max_lr, log_gamma)
    kind = part.dtype
    scale: ArrayLike = 1.0
    if mode == "triangular2":
        scale = power_of_half(cycle - 1, kind)
    elif log_gamma is not None:
        scale = jnp.exp(count.astype(kind) * jnp.asarray(log_gamma).astype(kind))
    rate: Array = blend(base_lr, max_lr, part, upper, scale)
    return rate

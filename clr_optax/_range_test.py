"""The learning-rate range test: data in, curve out."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.typing import ArrayLike

from clr_optax._batches import arrays, source
from clr_optax._core import refusal
from clr_optax._iterate import iterate
from clr_optax._range_args import (
    check_factor,
    check_kinds,
    check_params,
    check_whole,
    rates,
)
from clr_optax._range_curve import RangeTest
from clr_optax._start import first_carry
from clr_optax._training import Given, Point, TrainingStep


def lr_range_test(
    loss_fn: Callable[..., Any],
    params: Any,
    batches: Any,
    *,
    state: Any = None,
    min_lr: ArrayLike = 1e-6,
    max_lr: ArrayLike = 10.0,
    num_steps: int = 100,
    spacing: str = "exponential",
    optimizer: Callable[[optax.Schedule], optax.GradientTransformation] = optax.sgd,
    accumulate: int = 1,
    stop_factor: float | None = 4.0,
    key: jax.Array | None = None,
    has_aux: bool = False,
) -> RangeTest:
    """Returns the loss of each step of a short training whose rate rises all the way.

        rate(i) = min_lr * (max_lr / min_lr) ** (i / (num_steps - 1))   "exponential"
        rate(i) = min_lr + (max_lr - min_lr) * i / (num_steps - 1)      "linear"

    Examples:
        >>> import jax.numpy as jnp
        >>> def loss_fn(params, batch):
        ...     return 4 * jnp.sum((params - batch) ** 2)  # diverges above 2 / 8
        >>> test = lr_range_test(loss_fn, jnp.ones(3), jnp.zeros((1, 3)), min_lr=1e-4)
        >>> base_lr, max_lr = test.bounds()
        >>> 0.0625 < max_lr < 0.25
        True
    """
    check_kinds(loss_fn, optimizer, key, has_aux)
    params = check_params(params)
    lrs = rates(min_lr, max_lr, num_steps, spacing)
    check_whole("accumulate", accumulate, 1)
    length = lrs.size * accumulate
    batches, stacked = source(batches, length)
    stateful = state is not None
    step = TrainingStep(loss_fn, optimizer, stacked, stateful, has_aux, accumulate)
    carry = first_carry(step, params, arrays("state", state), lrs.size, lrs.dtype)
    given = Given(lrs, check_factor(stop_factor, lrs.dtype), key)
    carry, points = iterate(step, carry, given, batches, length)
    if not stacked and batches is not None:
        _check_enough(batches.taken, length, carry.stop.stopped)
    with jax.debug_nans(False), jax.debug_infs(False):
        return _curve(lrs, points, accumulate)


def _check_enough(taken: int, wanted: int, stopped: Any) -> None:
    """Raises ValueError where an iterable was used up before the test had an end."""
    if taken < wanted and not stopped:
        rule = f"{wanted} batches (num_steps times accumulate)"
        hint = "an iterable that can start again, such as a list, may be shorter"
        raise ValueError(refusal("lr_range_test", f"{rule}, got {taken}", hint))


def _curve(lrs: jax.Array, points: Point, accumulate: int) -> RangeTest:
    """Returns the points as a curve, with NaN or zero where none was reached."""
    last = slice(accumulate - 1, None, accumulate)
    reached = points.reached[last]

    def blank(a: jax.Array) -> jax.Array:
        nothing = jnp.nan if jnp.issubdtype(a.dtype, jnp.inexact) else 0
        where = reached.reshape(-1, *(1,) * (a.ndim - 1))
        return jnp.where(where, a, jnp.asarray(nothing, a.dtype))

    aux = points.aux
    if accumulate > 1:
        aux = jax.tree.map(lambda a: a.reshape(-1, accumulate, *a.shape[1:]), aux)
    aux = jax.tree.map(blank, aux)
    losses, smoothed = blank(points.loss[last]), blank(points.smoothed[last])
    return RangeTest(lrs, losses, smoothed, reached.sum(), aux)

"""What the steps of a range test tell, and the curve that it makes."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from clr_optax._range.curve import RangeTest
from clr_optax._range.stop import running_means


class Point(NamedTuple):
    """What a step tells: a point of the curve where reached, else only its aux."""

    loss: jax.Array
    reached: jax.Array
    aux: Any


def curve_of(lrs: jax.Array, points: Point, accumulate: int) -> RangeTest:
    """Returns the curve of stacked points, one for each batch."""
    with jax.debug_nans(False), jax.debug_infs(False):
        return RangeTest(lrs, *_measured(points, accumulate))


@functools.partial(jax.jit, static_argnums=1)
def _measured(points: Point, accumulate: int) -> tuple[Any, Any, Any, Any]:
    """Returns losses, smoothed, num_finite and aux, with NaN or zero after the stop."""
    last = slice(accumulate - 1, None, accumulate)
    losses, reached = points.loss[last], points.reached[last]

    def blank(a: jax.Array) -> jax.Array:
        nothing = jnp.nan if jnp.issubdtype(a.dtype, jnp.inexact) else 0
        where = reached.reshape(-1, *(1,) * (a.ndim - 1))
        return jnp.where(where, a, jnp.asarray(nothing, a.dtype))

    aux = points.aux
    if accumulate > 1:
        aux = jax.tree.map(lambda a: a.reshape(-1, accumulate, *a.shape[1:]), aux)
    aux = jax.tree.map(blank, aux)
    return blank(losses), blank(running_means(losses)), reached.sum(), aux

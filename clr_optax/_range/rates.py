"""The rates of a range test, from the numbers it is given."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from clr_optax._core import SMALLEST, Spacing, check_word
from clr_optax._range.args import check_whole
from clr_optax._range.words import needs


def rates(min_lr: Any, max_lr: Any, num_steps: Any, spacing: Any) -> jax.Array:
    """Returns the rates, both ends exact."""
    num_steps = check_whole("num_steps", num_steps, 2)
    check_word("lr_range_test", "spacing", spacing, Spacing)
    dtype = jnp.result_type(float)
    low, high = _rate("min_lr", min_lr), _rate("max_lr", max_lr)
    known = not isinstance(low, jax.core.Tracer) and not isinstance(
        high, jax.core.Tracer
    )
    lrs = _grid(np if known else jnp, low, high, num_steps, spacing).astype(dtype)
    if known and not (lrs[1:] > lrs[:-1]).all():
        raise ValueError(
            needs(
                f"max_lr above min_lr by num_steps different {dtype.name} rates",
                min_lr=min_lr,
                max_lr=max_lr,
                num_steps=num_steps,
            )
        )
    return jnp.asarray(lrs)


def _grid(xp: Any, low: Any, high: Any, size: int, spacing: str) -> Any:
    """Returns the rates from low to high, by NumPy or by jax.numpy."""
    share = np.arange(size) / (size - 1)
    if spacing == "linear":
        lrs = (1 - share) * low + share * high
    else:
        lrs = xp.exp((1 - share) * xp.log(low) + share * xp.log(high)).clip(low, high)
    return xp.where(share == 0, low, xp.where(share == 1, high, lrs))


def _rate(name: str, value: Any) -> Any:
    """Returns a rate as a number, checked, or as it is if its value is not known."""
    kinds = (int, float, np.number, np.ndarray, jax.Array)
    array = np.asarray(value) if isinstance(value, kinds[:-1]) else value
    if (
        isinstance(value, bool)
        or not isinstance(value, kinds)
        or array.ndim
        or not _real(array.dtype)
    ):
        raise TypeError(needs("one real number", **{name: value}))
    if isinstance(array, jax.core.Tracer):
        return array
    number = float(array)
    if not SMALLEST <= number <= float(np.finfo(jnp.result_type(float)).max):
        raise ValueError(needs(f"a finite rate of {SMALLEST} or more", **{name: value}))
    return number


def _real(dtype: Any) -> bool:
    """Returns whether it is a dtype of real numbers."""
    return any(jnp.issubdtype(dtype, kind) for kind in (jnp.floating, jnp.integer))

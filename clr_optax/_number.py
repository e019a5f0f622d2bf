"""What counts as a number of a schedule, and what is said to the rest."""

from numbers import Real
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from clr_optax._core import float_type, is_single, refusal

_HINTS: dict[type, str] = {
    bool: "write 0 or 1",
    str: "leave out the quotes or convert it with float",
    type(None): "give it a number",
    complex: "take its real part",
    list: "wrap it in jax.numpy.array",
    tuple: "wrap it in jax.numpy.array",
}


def is_array(value: object) -> bool:
    """Returns whether a value passes unchecked: an array with axes, or a tracer."""
    return isinstance(value, jax.Array | np.ndarray) and not is_single(value)


def real_number(function: str, name: str, value: Any) -> Any:
    """Returns a finite real number, or an array of real numbers unchecked.

    NumPy's and JAX's numbers become Python's, but for those that ask for float64.
    """
    if isinstance(value, jax.Array | np.ndarray):
        if not jnp.issubdtype(value.dtype, jnp.number) or jnp.iscomplexobj(value):
            raise TypeError(
                refusal(
                    function,
                    f"{name} as real numbers, not {value.dtype}",
                    "convert it with astype",
                    **{name: value},
                )
            )
        if is_array(value):
            return value
    if is_single(value):
        wide = float_type(value) is np.float64
        value = np.float64(value.item()) if wide else value.item()
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(
            refusal(
                function,
                f"{name} as a real number or an array",
                _HINTS.get(type(value), "convert it with float"),
                **{name: value},
            )
        )
    if value != value or abs(value) == float("inf"):
        raise ValueError(
            refusal(
                function,
                f"a finite {name}",
                "look at what computed it",
                **{name: value},
            )
        )
    return value


def as_float(value: Any) -> Any:
    """Returns a number as Python's float, or as NumPy's if it is one."""
    return value if isinstance(value, np.float64) else float(value)

"""Scale functions by the names under which they can be imported."""

import pkgutil
from typing import Any

from clr_optax._core import refusal


def function_named(function: str, scale_fn: Any) -> Any:
    """Returns scale_fn as a function, imported if it is a name; or None."""
    if isinstance(scale_fn, str):
        if ":" not in scale_fn:
            raise ValueError(
                refusal(
                    function,
                    "scale_fn as a function or as 'module:name'",
                    "the names of the modes go to mode",
                    scale_fn=scale_fn,
                )
            )
        try:
            scale_fn = pkgutil.resolve_name(scale_fn)
        except (ImportError, AttributeError, ValueError) as error:
            raise ValueError(
                refusal(
                    function,
                    "scale_fn that can be imported",
                    str(error),
                    scale_fn=scale_fn,
                )
            ) from error
    if scale_fn is not None and not callable(scale_fn):
        raise TypeError(
            refusal(
                function,
                "scale_fn as a function",
                "such as lambda cycle: 1 / cycle",
                scale_fn=scale_fn,
            )
        )
    return scale_fn


def name_of(function: str, scale_fn: Any) -> str:
    """Returns the name under which a function can be imported, "module:name"."""
    module, name = (getattr(scale_fn, x, "") for x in ("__module__", "__qualname__"))
    try:
        found = pkgutil.resolve_name(f"{module}:{name}")
    except (ImportError, AttributeError, ValueError):
        found = None
    if found is not scale_fn:
        raise TypeError(
            refusal(
                function,
                "scale_fn as a function that can be imported, to be stored",
                "define it with def at the top of a module",
                scale_fn=scale_fn,
            )
        )
    return f"{module}:{name}"

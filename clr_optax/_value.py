"""A cyclical schedule as a value: called, compared, printed, stored."""

import inspect
import pkgutil
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np
from jax import Array
from jax.typing import ArrayLike

from clr_optax._core import ScaleFn, short_repr


class CyclicalSchedule:
    """An ``optax.Schedule`` as a value: what ``clr_schedule`` returns.

    The class is there to be named in an annotation. Build a schedule with
    ``clr_schedule`` or ``momentum_schedule``, and another like it with
    ``clr_schedule(**schedule.config() | {"max_lr": 0.2})``.

    Attributes:
        factory: the function that built it.
    """

    factory: Callable[..., "CyclicalSchedule"]
    _arguments: dict[str, Any]
    _value: Callable[[ArrayLike], Array]

    def __init__(
        self,
        factory: Callable[..., "CyclicalSchedule"],
        arguments: dict[str, Any],
        value: Callable[[ArrayLike], Array],
    ) -> None:
        """Keeps what a factory has checked.

        Args:
            factory: the function that builds it, here or from its config.
            arguments: all arguments of that function, by name.
            value: what the schedule is at a count.
        """
        vars(self).update(factory=factory, _arguments=arguments, _value=value)

    def __call__(self, count: ArrayLike) -> Array:
        """Returns the value after ``count`` updates, of the shape of ``count``."""
        return self._value(count)

    def config(self) -> dict[str, Any]:
        """Returns the factory's arguments as JSON types, ``scale_fn`` by its name.

        Returns:
            A dictionary with which ``factory(**config)`` equals this schedule: what
            to store as JSON or YAML.

        Raises:
            TypeError: a number is an array or asks for float64, or ``scale_fn``
                cannot be imported.
        """
        config = dict(self._arguments)
        for name, value in config.items():
            if isinstance(value, np.float64 | np.ndarray | Array):
                raise TypeError(
                    f"CyclicalSchedule.config needs {name} as a Python number, "
                    f"got {name}={short_repr(value)}, "
                    "build the schedule with float or int."
                )
        if config["scale_fn"] is not None:
            config["scale_fn"] = _name_of(self.factory.__name__, config["scale_fn"])
        return config

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, CyclicalSchedule):
            return NotImplemented
        return self._key() == other._key()

    def __hash__(self) -> int:
        return hash(frozenset(self._key().items()))

    def __repr__(self) -> str:
        parts = []
        for name, parameter in inspect.signature(self.factory).parameters.items():
            value, default = self._arguments[name], parameter.default
            if (type(value), value) != (type(default), default):
                parts.append(f"{name}={getattr(value, '__qualname__', repr(value))}")
        return f"{self.factory.__name__}({', '.join(parts)})"

    def __reduce__(self) -> tuple[Any, ...]:
        return from_config, (self.factory, self._arguments)

    def __copy__(self) -> "CyclicalSchedule":
        return self

    def __deepcopy__(self, memo: object) -> "CyclicalSchedule":
        return self

    def __setattr__(self, name: str, value: object = None) -> NoReturn:
        function = self.factory.__name__
        raise AttributeError(
            f"{function} needs a new call for another {name}, "
            f"such as {function}(**schedule.config() | {{...}})."
        )

    __delattr__ = __setattr__

    def _key(self) -> dict[str, tuple[object, ...]]:
        """Returns what equal schedules share: types and values by name, or arrays."""
        return {
            name: (id(x),) if isinstance(x, np.ndarray | Array) else (type(x), x)
            for name, x in self._arguments.items()
        }


def from_config(
    factory: Callable[..., CyclicalSchedule], config: dict[str, Any]
) -> CyclicalSchedule:
    """Returns a schedule that was pickled, built again."""
    return factory(**config)


def _name_of(function: str, scale_fn: ScaleFn) -> str:
    """Returns the name under which a function can be imported, "module:name"."""
    module, name = (getattr(scale_fn, x, "") for x in ("__module__", "__qualname__"))
    try:
        found = pkgutil.resolve_name(f"{module}:{name}")
    except (ImportError, AttributeError, ValueError):
        found = None
    if found is not scale_fn:
        raise TypeError(
            f"{function} needs scale_fn as a function that can be imported, to be "
            f"stored, got scale_fn={short_repr(scale_fn)}, "
            "define it with def at the top of a module."
        )
    return f"{module}:{name}"

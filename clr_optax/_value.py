"""A cyclical schedule as a value: called, compared, printed, stored."""

import functools
import inspect
import pickle
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any, NoReturn

import numpy as np
from jax import Array
from jax.typing import ArrayLike

from clr_core import clr
from clr_optax._core import refusal
from clr_optax._names import name_of
from clr_optax._number import is_array


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
        start: str,
        middle: str,
        **arguments: Any,
    ) -> None:
        """Keeps what a factory has checked.

        Args:
            factory: the function that is called to build it again.
            start: the name of the argument that holds the value at a cycle's ends.
            middle: the name of that which holds the value at its middle.
            **arguments: the factory's arguments, in its order.
        """
        shape = dict(arguments)
        ends = {"base_lr": shape.pop(start), "max_lr": shape.pop(middle)}
        value = functools.partial(clr, **ends, **shape)
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
        arguments, scale_fn = dict(self._arguments), self._arguments["scale_fn"]
        for name, value in arguments.items():
            if _is_numpy(value):
                raise TypeError(
                    refusal(
                        "CyclicalSchedule.config",
                        f"{name} as a Python number",
                        "build the schedule with float or int",
                        **{name: value},
                    )
                )
        if scale_fn is not None:
            arguments["scale_fn"] = name_of(self.factory.__name__, scale_fn)
        return arguments

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, CyclicalSchedule):
            return NotImplemented
        return self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def __repr__(self) -> str:
        defaults = inspect.signature(self.factory).parameters
        shown = ", ".join(
            f"{name}={getattr(value, '__qualname__', repr(value))}"
            for name, value in self._arguments.items()
            if _is_numpy(value) or value != defaults[name].default
        )
        return f"{self.factory.__name__}({shown})"

    def __reduce__(self) -> tuple[Any, ...]:
        """Returns how to build it again, unless pickle could not store scale_fn."""
        scale_fn = self._arguments["scale_fn"]
        unnamed = "<" in getattr(scale_fn, "__qualname__", "")
        if unnamed and not _stores_functions(sys._getframe(1)):
            name_of(self.factory.__name__, scale_fn)
        return from_config, (self.factory, self._arguments)

    def __copy__(self) -> "CyclicalSchedule":
        return self

    def __deepcopy__(self, memo: object) -> "CyclicalSchedule":
        return self

    def __setattr__(self, name: str, value: object = None) -> NoReturn:
        function = self.factory.__name__
        raise AttributeError(
            refusal(
                function,
                f"a new call for another {name}",
                f"such as {function}(**schedule.config() | {{...}})",
            )
        )

    __delattr__ = __setattr__

    def _key(self) -> tuple[Any, ...]:
        """Returns what equal schedules share: types and values, arrays by identity."""
        key = [
            (id(x), None) if is_array(x) else (type(x), x)
            for x in self._arguments.values()
        ]
        return self.factory, *key


def from_config(
    factory: Callable[..., CyclicalSchedule], config: dict[str, Any]
) -> CyclicalSchedule:
    """Returns a pickled schedule, built again."""
    return factory(**config)


def _is_numpy(value: object) -> bool:
    """Returns whether a value is an array, or a number that asks for float64."""
    return isinstance(value, np.float64 | np.ndarray | Array)


def _stores_functions(caller: FrameType) -> bool:
    """Returns whether the caller is a pickler like cloudpickle's or dill's.

    They extend pickle's, which stores functions by name only. Those in C have no frame
    of their own, but the method that extends them has.
    """
    pickler, plain = caller.f_locals.get("self"), (pickle.Pickler, pickle._Pickler)
    return isinstance(pickler, plain) and type(pickler) not in plain

"""A cyclical schedule as a value: called, compared, printed, stored."""

import dataclasses
import functools
import inspect
from collections.abc import Callable
from typing import Any

from jax import Array
from jax.typing import ArrayLike

from clr_core import clr
from clr_optax import _check


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class CyclicalSchedule:
    """An ``optax.Schedule`` as a value; build one with its factory.

    Attributes:
        factory: the function that built it, ``clr_schedule`` or ``momentum_schedule``.
        names: what the factory calls the next two.
        start: the value at the ends of a cycle.
        middle: the value at the middle of a cycle, before scaling.
        step_size: the number of steps in the first half of a cycle.
        step_size_down: the number of steps in the second; None if it is the same.
        mode: how the amplitude shrinks.
        gamma: the factor of ``"exp_range"``.
        scale_fn: the function in the place of ``mode``, if any.
        scale_mode: what ``scale_fn`` is given.
    """

    factory: Callable[..., "CyclicalSchedule"]
    names: tuple[str, str]
    start: ArrayLike
    middle: ArrayLike
    step_size: ArrayLike
    step_size_down: ArrayLike | None
    mode: str
    gamma: ArrayLike
    scale_fn: Callable[[Array], ArrayLike] | None
    scale_mode: str

    def __call__(self, count: ArrayLike) -> Array:
        """Returns the value after ``count`` updates, of the shape of ``count``."""
        return clr(
            count,
            self.start,
            self.middle,
            self.step_size,
            step_size_down=self.step_size_down,
            mode=self.mode,
            gamma=self.gamma,
            scale_fn=self.scale_fn,
            scale_mode=self.scale_mode,
        )

    def config(self) -> dict[str, Any]:
        """Returns the factory's arguments as JSON types, ``scale_fn`` by its name.

        Returns:
            A dictionary with which ``factory(**config)`` equals this schedule.

        Raises:
            TypeError: if a number is an array, or ``scale_fn`` cannot be imported.
        """
        arguments = self._arguments()
        for name, value in arguments.items():
            if _check.is_array(value):
                raise TypeError(
                    f"config needs {name} as a Python number, got {name}={value!r}, "
                    "build the schedule with float or int."
                )
        if self.scale_fn is not None:
            arguments["scale_fn"] = _check.path(self.factory.__name__, self.scale_fn)
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
            for name, value in self._arguments().items()
            if _check.is_array(value) or value != defaults[name].default
        )
        return f"{self.factory.__name__}({shown})"

    def __reduce__(self) -> tuple[Any, ...]:
        if "<" in getattr(self.scale_fn, "__qualname__", ""):
            _check.path(self.factory.__name__, self.scale_fn)
        return functools.partial(self.factory, **self._arguments()), ()

    def __copy__(self) -> "CyclicalSchedule":
        return self

    def __deepcopy__(self, memo: object) -> "CyclicalSchedule":
        return self

    def _key(self) -> tuple[Any, ...]:
        values = (self.factory, *self._arguments().values())
        return tuple((id(x), None) if _check.is_array(x) else x for x in values)

    def _arguments(self) -> dict[str, Any]:
        """Returns what the factory was given, in its order."""
        ends = zip(self.names, (self.start, self.middle), strict=True)
        names = "step_size", "step_size_down", "mode", "gamma", "scale_fn", "scale_mode"
        return dict(sorted(ends, key=lambda pair: pair[0])) | {
            name: getattr(self, name) for name in names
        }

"""A cyclical schedule as a value: called, compared, printed, stored."""

import inspect
import pkgutil
import textwrap
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
from jax import Array
from jax.typing import ArrayLike
from numpy.typing import NDArray

from clr_optax._core import ScaleFn, short_repr
from clr_optax._range.args import whole
from clr_optax._range.plot import new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_STEPS = 2**31 - 1
POINTS = 2000  # of a picture, more than its pixels from left to right
MARKS = 60  # ends of cycles that can be told apart


class CyclicalSchedule:
    """An ``optax.Schedule`` as a value: what ``clr_schedule`` returns.

    The class is there to be named in an annotation. Build a schedule with
    ``clr_schedule`` or ``momentum_schedule``, and another like it with
    ``clr_schedule(**schedule.config() | {"max_lr": 0.2})``.

    Attributes:
        factory: the function that built it.

    Examples:
        >>> from clr_optax import clr_schedule
        >>> schedule = clr_schedule(0.0, 1.0, step_size=4, cycle_mult=2)
        >>> float(schedule(4))
        1.0
        >>> schedule.cycle_ends(60)
        array([ 8, 24, 56])
        >>> schedule.config()["cycle_mult"]
        2
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

    def cycle_ends(self, num_steps: int | np.integer[Any]) -> NDArray[np.int64]:
        """Returns the counts up to ``num_steps`` at which a cycle has just ended.

        After so many updates the value is back where it started: there it is time to
        save, to stop, or to take a snapshot. The last is ``num_steps`` itself if a
        cycle ends there.

        Args:
            num_steps: how many updates are done in all, 0 to ``2**31 - 1``.

        Raises:
            TypeError: ``num_steps`` is no whole number, or a step size is an array.
            ValueError: ``num_steps`` is out of its range.
        """
        function = "CyclicalSchedule.cycle_ends"
        last = whole(function, "num_steps", num_steps, 0, MOST_STEPS)
        up, down = self._halves(function)
        length, mult = up + down, self._arguments["cycle_mult"]
        if mult == 1:
            return np.arange(length, last + 1, length, dtype=np.int64)
        ends, end = [], length
        while end <= last:
            ends.append(end)
            length *= mult
            end += length
        return np.array(ends, np.int64)

    def plot(
        self, num_steps: int | np.integer[Any], ax: "Axes | None" = None
    ) -> "Axes":
        """Returns axes with the value by step, and a mark where each cycle ends.

        Several schedules stand on the same axes if each is given what the one before
        returned; the legend above tells them apart by their ``repr``.

        Args:
            num_steps: how many updates to show, 1 to ``2**31 - 1``. Of many more than
                fit the picture some are drawn; where there are more than 60 ends, none
                is marked.
            ax: axes of matplotlib to draw on, or None for a new figure.

        Raises:
            ImportError: matplotlib is not installed.
            TypeError: ``num_steps`` is no whole number, or an argument of the schedule
                is an array.
            ValueError: ``num_steps`` is out of its range.
        """
        function = "CyclicalSchedule.plot"
        last = whole(function, "num_steps", num_steps, 1, MOST_STEPS)
        self._check_single(function, self._arguments)
        axes: Any = new_axes(function) if ax is None else ax
        counts, ends = self._shown(last)
        points = 72 * axes.get_window_extent().width / axes.get_figure(root=True).dpi
        width = max(24, int(points / 5) - 6)
        label = textwrap.fill(
            repr(self), width, break_long_words=False, break_on_hyphens=False
        )
        marks = np.searchsorted(counts, ends).tolist()
        values = np.asarray(self(counts))
        axes.plot(counts, values, marker="o", ms=5, markevery=marks, label=label)
        axes.set_xlabel("step")
        of_rates = "base_lr" in self._arguments
        axes.set_ylabel("learning rate" if of_rates else "momentum")
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), fontsize=8, frameon=False)
        drawn: Axes = axes
        return drawn

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

    def _check_single(self, function: str, names: Iterable[str]) -> None:
        """Raises TypeError for an argument that is an array or a tracer."""
        for name in names:
            value = self._arguments[name]
            if isinstance(value, np.ndarray | Array):
                raise TypeError(
                    f"{function} needs {name} as one number that is known, "
                    f"got {name}={short_repr(value)}, build a schedule for each."
                )

    def _halves(self, function: str) -> tuple[int, int]:
        """Returns the steps in both halves of the first cycle."""
        self._check_single(function, ("step_size", "step_size_down"))
        up, down = self._arguments["step_size"], self._arguments["step_size_down"]
        return int(up), int(up if down is None else down)

    def _shown(self, last: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Returns the counts to draw, and the ends of cycles to mark.

        Of cycles too narrow to be told apart it takes one every few pixels.
        """
        up, down = self._halves("CyclicalSchedule.plot")
        even = np.linspace(0, last, min(last, POINTS) + 1).round().astype(np.int64)
        starts, mult = even - even % (up + down), self._arguments["cycle_mult"]
        peaks = starts + up
        if mult > 1:
            starts = np.append(0, self.cycle_ends(last))
            peaks = starts + up * mult ** np.arange(starts.size)
        counts = np.unique(np.concatenate([even, starts, peaks]))
        ends = np.unique(starts[starts > 0])
        return counts[counts <= last], ends[: 0 if ends.size > MARKS else None]

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

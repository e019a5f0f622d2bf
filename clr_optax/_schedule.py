"""Cyclical schedules for Optax, as values."""

import functools
from typing import Any

import numpy as np
from jax.typing import ArrayLike

from clr_core import clr
from clr_optax._arguments import bounds, cycle_arguments
from clr_optax._core import Anneal, Mode, ScaleFn, ScaleMode
from clr_optax._value import CyclicalSchedule


def clr_schedule(
    base_lr: ArrayLike,
    max_lr: ArrayLike,
    step_size: ArrayLike,
    *,
    step_size_down: ArrayLike | None = None,
    cycle_mult: int | np.integer[Any] = 1,
    mode: Mode = "triangular",
    gamma: ArrayLike = 1.0,
    scale_fn: ScaleFn | str | None = None,
    scale_mode: ScaleMode = "cycle",
    anneal: Anneal = "linear",
) -> CyclicalSchedule:
    """Returns the cyclical learning rate as an ``optax.Schedule``.

    Give it to an optimizer of Optax in place of a number. The optimizer counts its
    updates, and the rate rises and falls with the count.

    >>> import optax
    >>> from clr_optax import clr_schedule
    >>> schedule = clr_schedule(0.0, 1.0, step_size=4)
    >>> [float(schedule(count)) for count in range(6)]
    [0.0, 0.25, 0.5, 0.75, 1.0, 0.75]
    >>> optimizer = optax.sgd(schedule)

    ``schedule(count)`` is ``clr_core.clr(count, base_lr, max_lr, step_size, ...)``: see
    there for the formula. The arguments are checked here, once. The schedule has no
    state: resuming is calling it with the next count. It is a value:

    * It equals, and hashes like, every schedule built from the same numbers.
    * ``repr`` prints the call that builds it again.
    * ``schedule.config()`` is that call's arguments as a dictionary of JSON types:
      what to store as JSON or YAML, or to write in a config of Hydra.
    * It can be pickled if its ``scale_fn`` can; cloudpickle and dill store any.
    * ``schedule.plot(num_steps)`` draws it, ``schedule.cycle_ends(num_steps)`` tells
      where to save, to stop, or to take a snapshot.

    Args:
        base_lr: the rate at the ends of a cycle, 0 or more.
        max_lr: the rate at the middle of a cycle, ``base_lr`` or more. For a value that
            starts high and dips, see ``momentum_schedule``.
        step_size: the number of updates in HALF a cycle, the rising half: a whole
            number from 1 to ``2**31 - 1``. The papers advise 2 to 10 epochs' worth.
        step_size_down: those in the falling half; default ``step_size``.
        cycle_mult: how many times as long each cycle is as the one before, both halves
            alike: a whole number from 1, the default, to ``2**31 - 1``.
        mode: how the amplitude changes. ``"triangular"``, the default, keeps it,
            ``"triangular2"`` halves it after every cycle, ``"exp_range"`` multiplies it
            by ``gamma`` at every update.
        gamma: the factor of ``"exp_range"``, in (0, 1]; default 1.
        scale_fn: takes the place of ``mode``: maps the cycle (from 1) or the step to a
            factor of the amplitude, in ``jax.numpy``. It is given whole numbers as
            floats, exact up to 2**24. As text, ``"module:name"``, it is imported: build
            a schedule only from a configuration that you trust.
        scale_mode: what ``scale_fn`` is given: ``"cycle"``, the default, or
            ``"iterations"``, the step.
        anneal: ``"linear"``, the default, or ``"cosine"``: each half rises and falls as
            half a cosine.

    Returns:
        A callable that maps the count of updates done, any shape, to the rate: a
        ``CyclicalSchedule``.

    Raises:
        TypeError: an argument is of the wrong kind.
        ValueError: a number is out of its range, a name is unknown, or two
            arguments contradict each other.

    Examples:
        With ``inject_hyperparams``, the optimizer's state tells the current rate:

        >>> import json, jax.numpy as jnp
        >>> optimizer = optax.inject_hyperparams(optax.sgd)(learning_rate=schedule)
        >>> params = jnp.ones(3)
        >>> state = optimizer.init(params)
        >>> for _ in range(3):
        ...     _, state = optimizer.update(params, state)
        >>> float(state.hyperparams["learning_rate"])
        0.5

        Written to a file and read again:

        >>> schedule = clr_schedule(0.001, 0.1, 2000, mode="triangular2")
        >>> schedule
        clr_schedule(base_lr=0.001, max_lr=0.1, step_size=2000, mode='triangular2')
        >>> clr_schedule(**json.loads(json.dumps(schedule.config()))) == schedule
        True

    Notes:
        Numbers, NumPy's and JAX's too, are kept as Python numbers, so that the rate is
        float32. Only what is float64 under x64 stays so, and makes the rate float64.

        Arrays of several numbers and tracers are kept as they are, and not checked. Two
        schedules that hold one are equal if it is the same object.

    References:
        Leslie N. Smith, "Cyclical Learning Rates for Training Neural Networks", 2017,
        https://arxiv.org/abs/1506.01186
    """
    function = "clr_schedule"
    low, high = bounds(function, "lr", base_lr, max_lr)
    cycle = cycle_arguments(
        function,
        step_size,
        step_size_down,
        cycle_mult,
        mode,
        gamma,
        scale_fn,
        scale_mode,
        anneal,
    )
    arguments = {"base_lr": low, "max_lr": high, **cycle}
    rate = functools.partial(clr, base_lr=low, max_lr=high, **cycle)
    return CyclicalSchedule(clr_schedule, arguments, rate)


def momentum_schedule(
    base_momentum: ArrayLike,
    max_momentum: ArrayLike,
    step_size: ArrayLike,
    *,
    step_size_down: ArrayLike | None = None,
    cycle_mult: int | np.integer[Any] = 1,
    mode: Mode = "triangular",
    gamma: ArrayLike = 1.0,
    scale_fn: ScaleFn | str | None = None,
    scale_mode: ScaleMode = "cycle",
    anneal: Anneal = "linear",
) -> CyclicalSchedule:
    """Returns a momentum that falls while the learning rate rises.

    It starts at ``max_momentum``, and is ``base_momentum`` where the rate of a
    ``clr_schedule`` of the same shape peaks. For Adam, it is a schedule for ``b1``.

        momentum = max_momentum - (max_momentum - base_momentum) * h * s

    with the height ``h`` and the scale ``s`` of ``clr_core.clr``.

    Args:
        base_momentum: the momentum at the middle of a cycle, 0 or more.
        max_momentum: the momentum at the ends of a cycle, ``base_momentum`` or more,
            and less than 1.
        step_size: the number of steps in HALF a cycle, as in ``clr_schedule``.
        step_size_down: the number of steps in the second half; default ``step_size``.
        cycle_mult, mode, gamma, scale_fn, scale_mode, anneal: as in ``clr_schedule``.

    Returns:
        A callable that maps the count of updates done, any shape, to the momentum. It
        is the same kind of value as ``clr_schedule`` returns.

    Raises:
        TypeError: an argument is of the wrong kind.
        ValueError: a number is out of its range, a name is unknown, or two
            arguments contradict each other.

    Examples:
        >>> import jax.numpy as jnp, optax
        >>> from clr_optax import clr_schedule, momentum_schedule
        >>> momentum = momentum_schedule(0.5, 0.75, step_size=2)
        >>> [float(momentum(count)) for count in range(5)]
        [0.75, 0.625, 0.5, 0.625, 0.75]

        ``optax.sgd`` takes a number for its momentum; ``inject_hyperparams`` lets it
        follow a schedule:

        >>> optimizer = optax.inject_hyperparams(optax.sgd)(
        ...     learning_rate=clr_schedule(0.0, 1.0, step_size=2), momentum=momentum
        ... )
        >>> params = jnp.ones(3)
        >>> state = optimizer.init(params)
        >>> _, state = optimizer.update(params, state)
        >>> _, state = optimizer.update(params, state)
        >>> {name: float(value) for name, value in state.hyperparams.items()}
        {'learning_rate': 0.5, 'momentum': 0.625}

    References:
        Leslie N. Smith, "A disciplined approach to neural network hyper-parameters:
        Part 1", 2018, https://arxiv.org/abs/1803.09820
    """
    function = "momentum_schedule"
    low, high = bounds(function, "momentum", base_momentum, max_momentum)
    if isinstance(high, float) and high >= 1:
        raise ValueError(
            f"{function} needs max_momentum < 1, got max_momentum={high}, "
            "at 1 no gradient is ever forgotten."
        )
    cycle = cycle_arguments(
        function,
        step_size,
        step_size_down,
        cycle_mult,
        mode,
        gamma,
        scale_fn,
        scale_mode,
        anneal,
    )
    arguments = {"base_momentum": low, "max_momentum": high, **cycle}
    momentum = functools.partial(clr, base_lr=high, max_lr=low, **cycle)
    return CyclicalSchedule(momentum_schedule, arguments, momentum)

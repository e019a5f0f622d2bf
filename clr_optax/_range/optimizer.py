"""Which optimizers a range test can take, and how it calls them."""

import contextlib
import inspect
import re
from collections.abc import Iterator
from typing import Any

import jax
import optax

from clr_optax._types import Optimizer, PyTree

_ACCUMULATING = optax.MultiStepsState, optax.ApplyEvery
_SEARCHING = (
    optax.ScaleByBacktrackingLinesearchState,
    optax.ScaleByZoomLinesearchState,
)
_A_FUNCTION = re.compile("'function'|<function ")  # Python's words for a schedule


def transformation(
    function: str, optimizer: Optimizer, schedule: optax.Schedule
) -> optax.GradientTransformation:
    """Returns what an optimizer makes of a schedule."""
    with _noting(function, "optimizer(schedule)"):
        made: Any = optimizer(schedule)
    if isinstance(made, optax.MultiSteps):
        made = made.gradient_transformation()
    if not isinstance(made, optax.GradientTransformation):
        raise TypeError(
            f"{function} needs optimizer to return an optax.GradientTransformation, "
            f"got {type(made).__name__}."
        )
    return made


def first_state(
    function: str, made: optax.GradientTransformation, params: PyTree
) -> PyTree:
    """Returns an optimizer's state, unless it would hide what the rates do."""
    with _noting(function, "init(params)"):
        state = made.init(params)
    two = isinstance(params, optax.LookaheadParams)
    if isinstance(state, optax.LookaheadState) and not two:
        raise TypeError(
            f"{function} needs the fast and slow params of optax.lookahead, "
            "make them by optax.LookaheadParams.init_synced(params)."
        )
    kinds = _ACCUMULATING + _SEARCHING
    parts = jax.tree.leaves(state, is_leaf=lambda part: isinstance(part, kinds))
    if any(isinstance(part, _ACCUMULATING) for part in parts):
        raise TypeError(
            f"{function} needs an optimizer that updates at each of its steps, "
            "pass accumulate=k instead of optax.MultiSteps or optax.apply_every."
        )
    if any(isinstance(part, _SEARCHING) for part in parts):
        raise TypeError(
            f"{function} needs an optimizer that takes the rate it is given, a line "
            "search chooses its own: leave it out (optax.lbfgs has linesearch=None)."
        )
    return state


def update(
    function: str,
    optimizer: Optimizer,
    rate: jax.Array,
    grads: PyTree,
    state: PyTree,
    params: PyTree,
    **extra: PyTree,
) -> tuple[PyTree, PyTree]:
    """Returns params and state after an update at a rate.

    The optimizer is given what it takes of Optax's extra arguments.
    """
    asked = []

    def schedule(count: jax.Array) -> jax.Array:
        asked.append(count)
        return rate

    made = transformation(function, optimizer, schedule)
    extra = _accepted(made, extra)
    with _noting(function, f"update({', '.join(['grads, state, params', *extra])})"):
        updates, state = made.update(grads, state, params, **extra)
    if not asked:
        raise TypeError(
            f"{function} needs an optimizer that asks for its rate at each update, "
            "got one that ignores it, such as lambda rate: optax.sgd(rate)."
        )
    return optax.apply_updates(params, updates), state


def _accepted(
    made: optax.GradientTransformation, extra: dict[str, PyTree]
) -> dict[str, PyTree]:
    """Returns those of Optax's extra arguments that an optimizer's update takes."""
    if not isinstance(made, optax.GradientTransformationExtraArgs):
        return {}
    parameters = inspect.signature(made.update).parameters
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return extra
    return {name: extra[name] for name in extra if name in parameters}


@contextlib.contextmanager
def _noting(function: str, call: str) -> Iterator[None]:
    """Adds to what an optimizer raises how it was called.

    What took the schedule for a number is told of inject_hyperparams.
    """
    try:
        yield
    except Exception as error:
        note = f"{function} called {call}"
        if _A_FUNCTION.search(str(error)):
            note += (
                "; what takes a number as rate, and no schedule, goes through "
                "optax.inject_hyperparams"
            )
        error.add_note(note)
        raise

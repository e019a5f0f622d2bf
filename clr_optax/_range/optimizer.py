"""Which optimizers a range test can take."""

import contextlib
from collections.abc import Iterator
from typing import Any

import jax
import optax

from clr_optax._range.words import needs

ACCUMULATES = needs(
    "an optimizer that updates at each of its steps",
    "pass accumulate=k instead of optax.MultiSteps or optax.apply_every",
)
_SEARCHES = needs(
    "an optimizer that takes the rate it is given",
    "a line search chooses its own: leave it out (optax.lbfgs has linesearch=None)",
)
_TWO_PARAMS = needs(
    "the fast and slow params of optax.lookahead",
    "make them by optax.LookaheadParams.init_synced(params)",
)
_REFUSED = {
    optax.MultiStepsState: ACCUMULATES,
    optax.ApplyEvery: ACCUMULATES,
    optax.ScaleByBacktrackingLinesearchState: _SEARCHES,
    optax.ScaleByZoomLinesearchState: _SEARCHES,
}


def check_optimizer(transformation: Any) -> None:
    """Raises TypeError for what is no gradient transformation."""
    if isinstance(transformation, optax.MultiSteps):
        raise TypeError(ACCUMULATES)
    if not isinstance(transformation, optax.GradientTransformation):
        raise TypeError(
            needs(
                "optimizer to return an optax.GradientTransformation",
                got=type(transformation).__name__,
            )
        )


def check_opt_state(opt_state: Any, params: Any) -> None:
    """Raises TypeError for the state of an optimizer that hides the rates' effect."""
    lookahead = isinstance(opt_state, optax.LookaheadState)
    if lookahead and not isinstance(params, optax.LookaheadParams):
        raise TypeError(_TWO_PARAMS)
    kinds = tuple(_REFUSED)
    parts = jax.tree.leaves(opt_state, is_leaf=lambda part: isinstance(part, kinds))
    for part in parts:
        if isinstance(part, kinds):
            raise TypeError(_REFUSED[type(part)])


def check_asked(asked: list[Any]) -> None:
    """Raises TypeError if an update did not ask its schedule for the rate."""
    if not asked:
        raise TypeError(
            needs(
                "an optimizer that asks for its rate at each update",
                "such as lambda rate: optax.sgd(rate)",
                got="one that ignores it",
            )
        )


@contextlib.contextmanager
def noting(call: str) -> Iterator[None]:
    """Adds to what an optimizer raises how it was called."""
    try:
        yield
    except Exception as error:
        error.add_note(
            f"lr_range_test called {call}; what takes a number as rate, and no "
            "schedule, goes through optax.inject_hyperparams"
        )
        raise

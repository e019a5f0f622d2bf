"""Which optimizers a range test can take."""

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


def check_opt_state(opt_state: Any) -> None:
    """Raises TypeError for the state of an optimizer that hides the rates' effect."""
    kinds = tuple(_REFUSED)
    parts = jax.tree.leaves(opt_state, is_leaf=lambda part: isinstance(part, kinds))
    for part in parts:
        if isinstance(part, kinds):
            raise TypeError(_REFUSED[type(part)])

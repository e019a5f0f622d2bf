"""What speaks against trusting the bounds that were read from a curve."""

import jax

from clr_core._curve import Curve, Facts
from clr_core._rules import Bounds

FEW = 10

DOUBTS = (
    "base_lr: the loss falls from the first rates on, test smaller ones",
    "max_lr: the loss has not risen by the last rate",
    "stopped early: more than half of the rates are left",
    "few points: fewer than 10 make the fall",
    "noise: alone it may give half of the fall",
)


def doubts(curve: Curve, facts: Facts, bounds: Bounds) -> tuple[jax.Array, ...]:
    """Returns whether each of the reservations holds.

    The start of the curve is taken from the first third of the points before the
    lowest; a fall that begins there is not seen from its beginning.
    """
    return (
        3 * bounds.begin < curve.lowest,
        ~bounds.rises,
        2 * facts.points < curve.lrs.size,
        curve.lowest - bounds.begin < FEW,
        facts.fall < 2 * facts.chance,
    )

"""The curve of a range test, which reads and draws itself."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from clr_optax._core import Rule, word_of
from clr_optax._range.plot import draw
from clr_optax._range.readings import (
    ReadCurve,
    Several,
    bounds,
    rate,
    read_curves,
    reservations,
)
from clr_optax._types import PyTree

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class RangeTest:
    """The curve of a range test: rates and losses, which it reads and draws.

    ``lr_range_test`` returns it. A curve that another trainer measured is read and
    drawn by the same means: ``RangeTest(lrs, losses)`` is enough, and of accuracies the
    losses are ``1 - accuracy``.

    Attributes:
        lrs: the rates, shape (num_steps,), from min_lr to max_lr, both exact.
        losses: the loss before the step at each rate, NaN after the stop.
        smoothed: the running mean of the losses over a twentieth of them, or None.
        num_finite: how many losses were measured before the NaN, or None.
        aux: the loss's auxiliary output of each step, stacked, or None; with
            accumulate=k a second axis counts the k batches of a step. After the stop
            NaN, and zero where a dtype has no NaN.
        raised: what loss_fn raised where the test stopped, with ``lr`` and ``text``, a
            tuple of those of several curves, or None.

    It is a pytree. Under ``vmap`` it holds several curves, with leading axes.

    Examples:
        >>> import numpy as np
        >>> lrs = 2.0 ** np.arange(-16, 4)
        >>> losses = [2.0] * 8 + [1.75, 1.5, 1.25, 1.0, 0.75, 0.5]
        >>> losses += [0.5, 1, 2, 4, 8, 16]
        >>> test = RangeTest(lrs, losses)
        >>> test.suggest("valley")
        0.0078125
        >>> test.reservations()
        ('few points: fewer than 10 make the fall',)

        Rates and losses are the curve, and one file keeps them exactly:

        >>> import io
        >>> file = io.BytesIO()  # or "curve.npz"
        >>> np.savez(file, lrs=test.lrs, losses=test.losses)
        >>> _ = file.seek(0)  # not with a name
        >>> RangeTest(**np.load(file)).bounds() == test.bounds()
        True
    """

    lrs: Any
    losses: Any
    smoothed: Any = None
    num_finite: Any = None
    aux: PyTree = None
    raised: Several = None

    def bounds(self) -> tuple[float, float]:
        """Returns (base_lr, max_lr), as ``clr_core.suggest_bounds`` reads them.

        They are what ``clr_schedule`` takes: max_lr is about where the loss stops
        falling, base_lr a tenth of it. Of several curves they are the medians over
        those that can be read.

        Raises:
            TypeError: values are not known, under ``jit`` and ``vmap``.
            ValueError: as ``clr_core.suggest_bounds``; half of several curves or more
                cannot be read.
        """
        name = "RangeTest.bounds"
        return bounds(name, read_curves(name, self.lrs, self.losses, self.raised))

    def suggest(self, rule: Rule = "valley") -> float:
        """Returns the rate that a rule of ``clr_core.suggest_lr`` reads.

        ``valley``, ``steep`` and ``minimum`` move with the number of steps.
        Of several curves it is the median over those that can be read.

        Raises:
            TypeError: as ``bounds``.
            ValueError: as ``bounds``, or the rule is unknown.
        """
        name = "RangeTest.suggest"
        rule = word_of(name, "rule", rule, Rule)
        return rate(name, read_curves(name, self.lrs, self.losses, self.raised), rule)

    def reservations(self) -> tuple[str, ...]:
        """Returns what speaks against trusting the bounds, a few words each.

        What begins with max_lr says that it may be another; the rest is on the test.
        Of several curves it says how many each of them holds for, and the lowest rate
        at which one raised.

        Raises:
            TypeError: as ``bounds``.
        """
        name = "RangeTest.reservations"
        return reservations(read_curves(name, self.lrs, self.losses, self.raised))

    def plot(
        self, ax: "Axes | None" = None, *, labels: Sequence[str] | None = None
    ) -> "Axes":
        """Returns axes with the curve, and with what is read from it.

        The losses are points. Through them runs the line that the rules read, medians
        of five and then means over a tenth; of several curves it is the median, in a
        band from the lowest to the highest. The rules' suggestions are marks, the
        bounds a shaded range; reservations stand below.

        Args:
            ax: axes of matplotlib to draw on, or None for a new figure.
            labels: names of several curves that are no repetitions. Each gets a line
                of its own, with a mark at its max_lr.

        Raises:
            ImportError: matplotlib is not installed.
            TypeError: as ``bounds``.
            ValueError: there are not as many labels as curves; curves of different
                rates have none.
        """
        curves = read_curves("RangeTest.plot", self.lrs, self.losses, self.raised)
        return draw(curves, ax, labels)

    def __repr__(self) -> str:
        """Returns a line on what was measured and what is read, for people."""
        try:
            curves = read_curves("repr", self.lrs, self.losses, self.raised)
        except (TypeError, ValueError, RuntimeError):
            fields = (f"{name}={value!r}" for name, value in vars(self).items())
            return f"RangeTest({', '.join(fields)})"
        texts = [_measured(curves), *reservations(curves)]
        with contextlib.suppress(ValueError):
            base_lr, max_lr = bounds("repr", curves)
            texts.insert(1, f"bounds {base_lr:.3g} to {max_lr:.3g}")
        return f"RangeTest({'; '.join(texts)})"


def _measured(curves: list[ReadCurve]) -> str:
    """Returns how many losses there are at which rates."""
    lrs = np.concatenate([curve.lrs for curve in curves])
    counts = [int(np.isfinite(curve.losses).sum()) for curve in curves]
    least, most = min(counts), max(counts)
    number = f"{most}" if least == most else f"{least} to {most}"
    several = f"{len(curves)} curves of " if len(curves) > 1 else ""
    return f"{several}{number} losses, rates {lrs.min():.3g} to {lrs.max():.3g}"

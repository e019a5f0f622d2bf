"""The losses by peak that a sweep has measured, which read and draw themselves."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from clr_optax._range.plot import draw_peaks
from clr_optax._range.raised import Raised
from clr_optax._range.readings import Numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes

RATIO = 10  # of max_lr to base_lr
BELOW = 2  # how far max_lr is below the best peaks: longer cycles want lower ones
GOOD = 0.02  # of the fall: losses that are as good as the least
CLEAR = 0.01  # of the loss at the start: a fall that is not of chance


@dataclass(frozen=True, eq=False)
class Sweep:
    """The losses after short cycles by their peak: what ``lr_sweep`` returns.

    Attributes:
        peaks: the highest rate of each cycle, shape (num_peaks,), rising.
        losses: the loss at the end of each cycle, infinity where it diverged.
        start: the loss before any of them; without a batch that is held out, the mean
            of the first tenth of the cycle to the lowest peak that did not diverge.
        steps: how many steps were made in all, with those of the range test.
        raised: what loss_fn raised in these cycles, at the lowest rate, or None.

    Examples:
        >>> sweep = Sweep(np.array([0.125, 0.25, 0.5]), np.array([2, 1, np.inf]), 3.0)
        >>> sweep
        Sweep(3 peaks from 0.125 to 0.5; best 0.25; bounds 0.0125 to 0.125)
        >>> sweep.bounds()
        (0.0125, 0.125)
    """

    peaks: Numbers
    losses: Numbers
    start: float
    steps: int = 0
    raised: Raised | None = None

    def bounds(self) -> tuple[float, float]:
        """Returns (base_lr, max_lr) for ``clr_schedule``.

        max_lr is half of the geometric mean of the good peaks, those whose loss is the
        least or less than 2 % of its fall from the start above it; base_lr is a tenth
        of max_lr.
        """
        least = self.losses.min()
        fall = max(self.start - least, 0) if np.isfinite(self.start) else 0
        good = self.peaks[self.losses <= least + GOOD * fall]
        max_lr = float(np.prod(good) ** (1 / good.size)) / BELOW
        return max_lr / RATIO, max_lr

    def reservations(self) -> tuple[str, ...]:
        """Returns what speaks against trusting the bounds, a few words each."""
        best = int(np.argmin(self.losses))
        found = [str(self.raised)] if self.raised else []
        if best == 0:
            found.append("max_lr: the best peak is the lowest of the grid")
        if best == len(self.losses) - 1:
            found.append("max_lr: the best peak is the highest of the grid")
        fall = self.start - self.losses[best]
        if not fall > 0 or fall < CLEAR * abs(self.start):
            found.append("max_lr: no cycle ends clearly below the loss at the start")
        return tuple(found)

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Returns axes with the losses by peak, the bounds, and reservations below.

        Args:
            ax: axes of matplotlib to draw on, or None for a new figure.

        Raises:
            ImportError: matplotlib is not installed.
        """
        found, notes = self.bounds(), self.reservations()
        return draw_peaks(ax, self.peaks, self.losses, self.start, found, notes)

    def __repr__(self) -> str:
        """Returns a line on what was measured and what comes of it, for people."""
        best, (base_lr, max_lr) = self.peaks[np.argmin(self.losses)], self.bounds()
        texts = [
            f"{len(self.peaks)} peaks from {self.peaks[0]:.3g} to {self.peaks[-1]:.3g}",
            f"best {best:.3g}",
            f"bounds {base_lr:.3g} to {max_lr:.3g}",
            *self.reservations(),
        ]
        return f"Sweep({'; '.join(texts)})"

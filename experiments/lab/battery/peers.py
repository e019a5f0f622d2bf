"""What other learning-rate finders read from a curve, by their own definitions.

fastai's valley, torch-lr-finder's and Lightning's suggestions: facts from their
sources, `fastai/callback/schedule.py`, `torch_lr_finder/lr_finder.py` and
`lightning/pytorch/tuner/lr_finder.py`, each with its own smoothing and with the points
that it leaves out. They suggest one rate, which is taken as max_lr here.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def fastai_valley(lrs: Floats, losses: Floats) -> float | None:
    """The middle of the longest falling subsequence of the smoothed losses."""
    first = len(lrs) // 10
    smooth = _exponential(losses, 0.98)[first:-5]
    lengths = np.ones(len(smooth), int)
    for i in range(1, len(smooth)):
        lower = lengths[:i][smooth[:i] > smooth[i]]
        lengths[i] = 1 + lower.max(initial=0)
    if not len(smooth):
        return None
    end = int(lengths.argmax())
    start = max(end - int(lengths[end]), 0)
    third = (end - start) / 3
    return float(lrs[first + start + int(third) + int(third / 2)])


def torch_lr_finder(lrs: Floats, losses: Floats) -> float | None:
    """The steepest fall from point to point of a running mean, 0.05 of each loss."""
    smooth = np.array(losses)
    for i in range(1, len(smooth)):
        smooth[i] = 0.05 * smooth[i] + 0.95 * smooth[i - 1]
    inner = smooth[10:-5]
    return float(lrs[10 + np.gradient(inner).argmin()]) if len(inner) > 1 else None


def lightning(lrs: Floats, losses: Floats) -> float | None:
    """The steepest fall of the smoothed losses per rate, not per log of the rate."""
    inner, rates = _exponential(losses, 0.98)[10:-1], lrs[10 : len(losses) - 1]
    return float(rates[np.gradient(inner, rates).argmin()]) if len(inner) > 1 else None


def _exponential(losses: Floats, decay: float) -> Floats:
    """The bias-corrected exponential mean of the losses until each."""
    mean, smooth = 0.0, np.empty(len(losses))
    for i, loss in enumerate(losses):
        mean = decay * mean + (1 - decay) * loss
        smooth[i] = mean / (1 - decay ** (i + 1))
    return smooth

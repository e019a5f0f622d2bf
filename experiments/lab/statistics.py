"""What a comparison says of paired runs."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats


class Interval(NamedTuple):
    """A mean with the ends of its 95 % interval, by Student's t."""

    mean: float
    low: float
    high: float


def paired_difference(values: ArrayLike, others: ArrayLike) -> Interval:
    """The mean of values less others, seed by seed; NaN if a run diverged."""
    gains = np.subtract(values, others, dtype=float)
    reach = stats.t.ppf(0.975, gains.size - 1) * gains.std(ddof=1) / gains.size**0.5
    mean = gains.mean()
    return Interval(float(mean), float(mean - reach), float(mean + reach))

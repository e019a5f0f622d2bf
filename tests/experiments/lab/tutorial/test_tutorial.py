"""The tutorial's schedule, and what its tables say."""

import numpy as np

from lab.history import METRICS, History
from lab.tutorial import report
from lab.tutorial.settings import Settings


def test_clr_takes_a_third_of_sgds_way():
    """The sums of rates that explain why CLR loses: 31.1 against 93.8."""
    settings = Settings()
    sums = settings.rate_sums(10 * settings.updates_per_epoch)
    np.testing.assert_allclose(sums["SGD"], 93.80, atol=0.01)
    np.testing.assert_allclose(sums["CLR"], 31.1, atol=0.05)


def test_the_schedule_is_the_tutorials():
    """Its own formula at every step that Keras ran, in float64."""
    step = np.arange(9380)
    cycle = np.floor(1 + step / (2 * 2 * 937))
    x = np.abs(step / (2 * 937) - 2 * cycle + 1)
    rate = 1e-4 + (1e-2 - 1e-4) * np.maximum(0, 1 - x) / 2 ** (cycle - 1)
    np.testing.assert_allclose(Settings().arms["CLR"].rate(step), rate, rtol=1e-6)


def test_diverged_arms_are_named():
    lost, good = [[1.0, None], [1.0, 0.5]], [[1.0, 0.5], [1.0, 0.5]]
    history = History.from_json(
        {
            "SGD": dict.fromkeys(METRICS, lost),
            "CLR": dict.fromkeys(METRICS, good),
        }
    )
    (line,) = report.diverged(history)
    assert line.startswith("SGD DIVERGED")
    assert "[0]" in line

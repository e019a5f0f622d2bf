"""What part B tunes, and what that costs."""

import numpy as np

from lab.comparison.protocol import Settings
from lab.comparison.schedules import ANYTIME, SCHEDULES, Schedule
from lab.data import FashionMNIST
from lab.stages import Stages

TUNED = SCHEDULES | ANYTIME


def peak_scores(
    stages: Stages, settings: Settings, data: FashionMNIST, bounds: tuple[float, float]
) -> dict[str, dict[str, float]]:
    """What peaks are chosen by: each schedule's accuracy with each peak it tries."""
    epochs = settings.epochs[-1]
    ratio, steps = bounds[1] / bounds[0], epochs * settings.steps_per_epoch
    tried = {
        f"{name}, {peak:g}": (name, peak)
        for name, plan in TUNED.items()
        for peak in peaks_to_try(plan, settings, bounds[1])
    }
    arms = {
        trial: TUNED[name].arm(peak / ratio, peak, steps)
        for trial, (name, peak) in tried.items()
    }
    history = stages.train("B choices", arms, data, seeds=1, epochs=epochs)
    scores: dict[str, dict[str, float]] = {name: {} for name in TUNED}
    for trial, accuracy in history.scores().items():
        name, peak = tried[trial]
        scores[name][f"{peak:g}"] = accuracy
    return scores


def peaks_to_try(plan: Schedule, settings: Settings, max_lr: float) -> list[float]:
    """As many of the grid as the schedule tries, those nearest to max_lr."""
    grid = sorted(settings.grid, key=lambda peak: abs(np.log(peak / max_lr)))
    return sorted(grid[: trials(plan, settings)])


def trials(plan: Schedule, settings: Settings) -> int:
    """How many peaks a schedule tries; one less if its range test cost as much."""
    return len(settings.grid) - (plan.role == "cyclical")


def best(scores: dict[str, float]) -> float:
    """The peak of the highest accuracy."""
    return float(max(scores, key=scores.__getitem__))


def tuning_steps(plan: Schedule, settings: Settings) -> int:
    """What the choice of a peak in B costs."""
    epochs = trials(plan, settings) * settings.epochs[-1]
    steps = epochs * settings.steps_per_epoch
    return steps + settings.range_test_steps * (plan.role == "cyclical")

"""The parts of the protocol, each a function from what came before to its results."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import optax

from clr_optax import RangeTest
from lab import LabError
from lab.arms import Arm
from lab.comparison.protocol import Settings, split
from lab.comparison.schedules import (
    ANYTIME_ARMS,
    CLR,
    QUARTER,
    RANGE_TEST,
    SCHEDULES,
    SUGGESTIONS,
    Schedule,
    triangular,
)
from lab.comparison.snapshots import snapshots
from lab.comparison.tuning import TUNED, best, peak_scores, trials, tuning_steps
from lab.data import FashionMNIST
from lab.history import History
from lab.range_tests import range_test_of_seeds
from lab.stages import Stages

Results = dict[str, Any]


def experiment(
    stages: Stages, settings: Settings, data: FashionMNIST
) -> Iterator[Results]:
    """Yields the results of each part as soon as it is done."""
    choosing = split(data)
    final = choosing._replace(test=data.test)

    stages.console.print(f"Range tests of {settings.range_test_steps:,} steps in all")
    test = range_test_of_seeds(
        choosing.train,
        partial(optax.sgd, momentum=0.9),
        seeds=settings.range_seeds,
        steps=settings.range_steps,
        batch_size=settings.batch_size,
    )
    bounds = readable_bounds(test)
    curves = {"lrs": test.lrs[0].tolist(), "losses": test.losses.tolist()}
    yield {"range_test": curves, "bounds": bounds}
    yield {"E": landscape(stages, settings, choosing, bounds)}

    scores = peak_scores(stages, settings, choosing, bounds)
    yield {"peaks": scores}
    peaks = {name: best(tried) for name, tried in scores.items()}
    arms = anytime_arms(settings, bounds, peaks)
    history = stages.train(
        "C any time", arms, final, seeds=settings.seeds, epochs=settings.anytime[-1]
    )
    yield {"C": [row(name, arm, history) for name, arm in arms.items()]}
    kept = stages.checkpoints("C any time", arms)
    yield {"D": snapshots(kept, arms, settings.seeds, settings.anytime, data.test)}

    yield {"B": tuned(stages, settings, final, peaks, bounds[1] / bounds[0])}
    yield {"A": list(untuned(stages, settings, final, bounds))}


def run_epochs(settings: Settings) -> int:
    """The epochs of all single runs: what the whole takes, but for its range tests."""
    points = len(settings.peaks) * len(settings.ratios) + len(SUGGESTIONS)
    tried = sum(trials(plan, settings) for plan in TUNED.values())
    return (
        points * settings.landscape_seeds * settings.landscape_epochs
        + tried * settings.epochs[-1]
        + len(ANYTIME_ARMS) * settings.seeds * settings.anytime[-1]
        + len(SCHEDULES) * settings.seeds * settings.epochs[-1]
        + len(SCHEDULES) * settings.seeds * sum(settings.epochs)
    )


def readable_bounds(test: RangeTest) -> tuple[float, float]:
    """The medians over the seeds."""
    try:
        return test.bounds()
    except ValueError as error:
        raise LabError(f"the range test cannot be read: {error}") from error


def untuned(
    stages: Stages, settings: Settings, data: FashionMNIST, bounds: tuple[float, float]
) -> Iterator[Results]:
    """Part A: a row for each schedule and length."""
    for epochs in settings.epochs:
        steps = epochs * settings.steps_per_epoch
        arms = {name: plan.arm(*bounds, steps) for name, plan in SCHEDULES.items()}
        stage = f"A {epochs} epochs"
        history = stages.train(stage, arms, data, seeds=settings.seeds, epochs=epochs)
        cost = settings.range_test_steps
        yield from (row(name, arm, history, cost) for name, arm in arms.items())


def tuned(
    stages: Stages,
    settings: Settings,
    data: FashionMNIST,
    peaks: dict[str, float],
    ratio: float,
) -> list[Results]:
    """Part B: a row for each schedule at its best peak."""
    epochs = settings.epochs[-1]
    steps = epochs * settings.steps_per_epoch
    arms = {
        name: plan.arm(peaks[name] / ratio, peaks[name], steps)
        for name, plan in SCHEDULES.items()
    }
    history = stages.train("B final", arms, data, seeds=settings.seeds, epochs=epochs)
    return [
        row(name, arm, history, tuning_steps(SCHEDULES[name], settings))
        for name, arm in arms.items()
    ]


def anytime_arms(
    settings: Settings, bounds: tuple[float, float], peaks: dict[str, float]
) -> dict[str, Arm]:
    """Part C's arms: who restarts has three cycles, the others one plan for all."""
    steps = settings.anytime[-1] * settings.steps_per_epoch
    ratio = bounds[1] / bounds[0]
    arms = {}
    for arm, name in ANYTIME_ARMS.items():
        chosen = peaks[name] / ratio, peaks[name]
        arms[arm] = TUNED[name].arm(*(bounds if arm == CLR else chosen), steps)
    return arms


def landscape(
    stages: Stages, settings: Settings, data: FashionMNIST, bounds: tuple[float, float]
) -> Results:
    """Part E: every seed's accuracy by peak and ratio, and that of two suggestions."""
    epochs, seeds = settings.landscape_epochs, settings.landscape_seeds
    steps = epochs * settings.steps_per_epoch
    cycle = Schedule("cyclical", triangular)
    arms = {
        cell(peak, ratio): cycle.arm(peak / ratio, peak, steps)
        for peak in settings.peaks
        for ratio in settings.ratios
    }
    arms[RANGE_TEST] = cycle.arm(*bounds, steps)
    arms[QUARTER] = cycle.arm(bounds[1] / 4, bounds[1], steps)
    history = stages.train("E landscape", arms, data, seeds=seeds, epochs=epochs)
    found = {name: history.last(name, "val_accuracy").tolist() for name in arms}
    return {
        "accuracy": [
            [found[cell(peak, ratio)] for ratio in settings.ratios]
            for peak in settings.peaks
        ],
        RANGE_TEST: found[RANGE_TEST],
        QUARTER: found[QUARTER],
    }


def cell(peak: float, ratio: float) -> str:
    """The name of an arm of the landscape."""
    return f"peak {peak:g}, ratio {ratio:g}"


def row(name: str, arm: Arm, history: History, tuning: int = 0) -> Results:
    """An arm's results: what it was, what its choice cost, its figures by metric."""
    return {
        "arm": name,
        "role": arm.role,
        "about": arm.about,
        "epochs": history.epochs,
        "tuning_steps": tuning,
        "figures": history.to_json()[name],
    }

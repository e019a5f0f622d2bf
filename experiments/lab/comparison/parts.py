"""The parts of the protocol, each a function from what came before to its results."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from numpy.typing import NDArray

from clr_optax import RangeTest, lr_range_test
from lab import LabError, network
from lab.checkpoints import Trainings
from lab.comparison.protocol import Settings, split
from lab.comparison.schedules import (
    ANYTIME_ARMS,
    CLR,
    QUARTER,
    RANGE_TEST,
    SCHEDULES,
    SUGGESTIONS,
    TUNED,
    Schedule,
    cycles,
)
from lab.data import FashionMNIST, Images
from lab.history import History
from lab.training import Arm, Runs, Stretch, Training

Arms = Mapping[str, Arm]
Bounds = tuple[float, float]
Row = dict[str, Any]


@dataclass(frozen=True)
class Work:
    """What all parts have in common: what trains, and on which images."""

    settings: Settings
    trainings: Trainings
    choosing: FashionMNIST
    final: FashionMNIST

    def of(self, arms: Arms, epochs: int, *, choosing: int = 0) -> Training:
        """The training of arms, on so many seeds for choosing or on all for the end."""
        return network.training(
            arms,
            self.choosing if choosing else self.final,
            seeds=choosing or self.settings.seeds,
            epochs=epochs,
            batch_size=self.settings.batch_size,
        )

    def train(self, name: str, training: Training) -> History:
        """The figures when all epochs are done; prints a line for each."""

        def told(stretch: Stretch) -> str:
            best = max(network.history(training, stretch.runs).scores().values())
            return (
                f"epoch {stretch.runs.done}/{training.until} of {training.count} runs, "
                f"{stretch.seconds:.1f} s, best accuracy {best:.4f}"
            )

        ends = self.settings.cycle_epochs
        runs = self.trainings.train(name, training, told, keep_every=ends)
        return network.history(training, runs)


def experiment(
    trainings: Trainings, settings: Settings, data: FashionMNIST, found: Row
) -> Iterator[Row]:
    """Yields each part's results when it is done; range tests that are `found` are."""
    choosing = split(data)
    work = Work(settings, trainings, choosing, choosing._replace(test=data.test))

    if "bounds" not in found:
        steps = settings.range_test_steps
        trainings.console.print(f"Range tests of {steps:,} steps in all")
        test = range_tests(choosing.train, settings)
        curves = {"lrs": test.lrs[0].tolist(), "losses": test.losses.tolist()}
        found = {"range_test": curves, "bounds": readable_bounds(test)}
    yield {name: found[name] for name in ("range_test", "bounds")}
    bounds = found["bounds"]

    yield {"E": landscape(work, bounds)}
    scores = peak_scores(work, bounds)
    yield {"peaks": scores}
    peaks = {name: best(tried) for name, tried in scores.items()}
    arms = anytime_arms(settings, bounds, peaks)
    anytime = work.of(arms, settings.anytime[-1])
    history = work.train("C any time", anytime)
    yield {"C": [row(name, arm, history) for name, arm in arms.items()]}
    ends = trainings.at("C any time", anytime, settings.anytime)
    yield {"D": snapshots(anytime, ends, data.test)}
    yield {"B": tuned(work, peaks, bounds[1] / bounds[0])}
    yield {"A": list(untuned(work, bounds))}


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


def range_tests(images: Images, settings: Settings) -> RangeTest:
    """The curves of all seeds, with a leading axis over them."""
    steps, batch_size = settings.range_steps, settings.batch_size

    def loss(data: Images, params: Any, rows: jax.Array, key: jax.Array) -> jax.Array:
        keys = jax.random.split(key, len(rows))  # by place, not by image
        losses, _ = network.score(params, data.images[rows], data.labels[rows], keys)
        return losses.mean()

    def of_seed(images: Images, seed: jax.Array) -> RangeTest:
        key = jax.random.key(seed)
        size, count = steps * batch_size, len(images.images)
        epochs = jax.random.split(key, -(-size // count))
        order = jax.vmap(partial(jax.random.permutation, x=count))(epochs)
        return lr_range_test(
            partial(loss, images),
            network.initial_weights(key),
            order.reshape(-1)[:size].reshape(steps, batch_size),
            min_lr=1e-5,
            max_lr=10.0,
            num_steps=steps,
            optimizer=partial(optax.sgd, momentum=0.9),
            key=key,
        )

    @jax.jit
    def curves_of(images: Images, seeds: jax.Array) -> Any:
        # one seed after the other: side by side, their different weights cost more
        return jax.lax.map(partial(of_seed, images), seeds)

    stack: RangeTest = curves_of(images, jnp.arange(settings.range_seeds))
    return stack


def readable_bounds(test: RangeTest) -> Bounds:
    """The medians over the seeds."""
    try:
        return test.bounds()
    except ValueError as error:
        raise LabError(f"the range test cannot be read: {error}") from error


def untuned(work: Work, bounds: Bounds) -> Iterator[Row]:
    """Part A: a row for each schedule and length."""
    settings = work.settings
    for epochs in settings.epochs:
        steps = epochs * settings.steps_per_epoch
        arms = {name: plan.arm(*bounds, steps) for name, plan in SCHEDULES.items()}
        history = work.train(f"A {epochs} epochs", work.of(arms, epochs))
        cost = settings.range_test_steps
        yield from (row(name, arm, history, cost) for name, arm in arms.items())


def tuned(work: Work, peaks: Mapping[str, float], ratio: float) -> list[Row]:
    """Part B: a row for each schedule at its best peak."""
    settings = work.settings
    epochs = settings.epochs[-1]
    steps = epochs * settings.steps_per_epoch
    arms = {
        name: plan.arm(peaks[name] / ratio, peaks[name], steps)
        for name, plan in SCHEDULES.items()
    }
    history = work.train("B final", work.of(arms, epochs))
    return [
        row(name, arm, history, tuning_steps(SCHEDULES[name], settings))
        for name, arm in arms.items()
    ]


def peak_scores(work: Work, bounds: Bounds) -> dict[str, dict[str, float]]:
    """What peaks are chosen by: each schedule's accuracy with each peak it tries."""
    settings = work.settings
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
    history = work.train("B choices", work.of(arms, epochs, choosing=1))
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


def best(scores: Mapping[str, float]) -> float:
    """The peak of the highest accuracy."""
    return float(max(scores, key=scores.__getitem__))


def tuning_steps(plan: Schedule, settings: Settings) -> int:
    """What the choice of a peak in B costs."""
    epochs = trials(plan, settings) * settings.epochs[-1]
    steps = epochs * settings.steps_per_epoch
    return steps + settings.range_test_steps * (plan.role == "cyclical")


def anytime_arms(
    settings: Settings, bounds: Bounds, peaks: Mapping[str, float]
) -> dict[str, Arm]:
    """Part C's arms: who restarts has three cycles, the others one plan for all."""
    steps = settings.anytime[-1] * settings.steps_per_epoch
    ratio = bounds[1] / bounds[0]
    arms = {}
    for arm, name in ANYTIME_ARMS.items():
        chosen = peaks[name] / ratio, peaks[name]
        arms[arm] = TUNED[name].arm(*(bounds if arm == CLR else chosen), steps)
    return arms


def snapshots(training: Training, ends: list[Runs], images: Images) -> dict[str, Row]:
    """Part D, by arm: every seed's accuracy of the outputs' mean, and of the last's."""
    outputs = [softmax_outputs(runs, images.images) for runs in ends]
    shape = len(training.arms), training.seeds
    together, alone = (
        accuracies(found, images.labels).reshape(shape).tolist()
        for found in (np.mean(outputs, axis=0), outputs[-1])
    )
    return {
        name: {"together": together[number], "alone": alone[number]}
        for number, name in enumerate(training.arms)
    }


def softmax_outputs(runs: Runs, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Probabilities, of shape (runs, images, 10)."""
    parts = np.array_split(images, max(1, len(images) // 250))

    @jax.jit
    def probabilities(weights: Any, part: jax.Array) -> jax.Array:
        return jax.nn.softmax(network.logits(weights, part))

    params = jax.tree.map(np.asarray, runs.state.params)
    weights = [
        jax.tree.map(lambda leaf, k=k: leaf[k], params)
        for k in range(len(runs.figures))
    ]
    return np.stack(
        [np.concatenate([probabilities(w, part) for part in parts]) for w in weights]
    )


def accuracies(
    outputs: NDArray[np.float32], labels: NDArray[np.int32]
) -> NDArray[np.float64]:
    """The share of right answers of each run, NaN for one that says nothing."""
    right = outputs.argmax(axis=-1) == labels
    known = np.isfinite(outputs).all(axis=(-1, -2))
    share: NDArray[np.float64] = np.where(known, right.mean(axis=-1), np.nan)
    return share


def landscape(work: Work, bounds: Bounds) -> Row:
    """Part E: every seed's accuracy by peak and ratio, and that of two suggestions."""
    settings = work.settings
    epochs, seeds = settings.landscape_epochs, settings.landscape_seeds
    steps = epochs * settings.steps_per_epoch
    cycle = Schedule("cyclical", cycles(1))
    arms = {
        cell(peak, ratio): cycle.arm(peak / ratio, peak, steps)
        for peak in settings.peaks
        for ratio in settings.ratios
    }
    arms[RANGE_TEST] = cycle.arm(*bounds, steps)
    arms[QUARTER] = cycle.arm(bounds[1] / 4, bounds[1], steps)
    history = work.train("E landscape", work.of(arms, epochs, choosing=seeds))
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


def row(name: str, arm: Arm, history: History, tuning: int = 0) -> Row:
    """An arm's results: what it was, what its choice cost, its figures by metric."""
    return {
        "arm": name,
        "role": arm.role,
        "about": arm.about,
        "epochs": history.epochs,
        "tuning_steps": tuning,
        "figures": history.to_json()[name],
    }

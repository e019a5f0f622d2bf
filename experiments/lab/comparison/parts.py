"""The parts of the protocol, each a function from what came before to its results."""

import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from numpy.typing import NDArray

from clr_optax import RangeTest, Sweep, lr_range_test, lr_sweep
from lab import LabError, network
from lab.checkpoints import Trainings
from lab.comparison.protocol import Settings, split
from lab.comparison.schedules import (
    ANYTIME_ARMS,
    COOL_DOWN,
    COOL_DOWNS,
    DECLINES,
    MOMENTUM,
    OPTIMIZERS,
    PLANS,
    QUARTER,
    RANGE_TEST,
    SCHEDULES,
    SUGGESTIONS,
    SWEEP,
    TRIED,
    TUNED,
    WSD,
    Rate,
    Schedule,
    begins,
    cycles,
    momentum,
    tuned_name,
    warm_up,
    wsd,
    wsd_epochs,
)
from lab.data import FashionMNIST, Images
from lab.history import History
from lab.saved import sweep_to_json
from lab.training import Arm, Runs, Stretch, Training

Arms = Mapping[str, Arm]
Bounds = tuple[float, float]
Row = dict[str, Any]
ANY_TIME = "C any time"
Scores = dict[str, dict[str, float]]  # accuracies by schedule and peak


@dataclass(frozen=True)
class Work:
    """What all parts have in common: what trains, and on which images."""

    settings: Settings
    trainings: Trainings
    choosing: FashionMNIST
    final: FashionMNIST

    def of(self, arms: Arms, epochs: int, *, choosing: int = 0) -> Training:
        """The training of arms that have one optimizer.

        It is a final run on all seeds, or one to choose by, on as many as `choosing`.
        """
        training = network.training(
            arms,
            self.choosing if choosing else self.final,
            seeds=choosing or self.settings.seeds,
            epochs=epochs,
            batch_size=self.settings.batch_size,
        )
        (optimizer,) = training.optimizers
        return replace(training, weights=OPTIMIZERS[optimizer][1])

    def train(
        self,
        name: str,
        training: Training,
        start: Runs | None = None,
        keep_every: int | None = None,
    ) -> History:
        """The figures when all epochs are done; prints a line for each."""

        def told(stretch: Stretch) -> str:
            best = max(network.history(training, stretch.runs).scores().values())
            return (
                f"epoch {stretch.runs.done}/{training.until} of {training.count} runs, "
                f"{stretch.seconds:.1f} s, best accuracy {best:.4f}"
            )

        kept = keep_every or self.settings.cycle_epochs
        runs = self.trainings.train(name, training, told, start, keep_every=kept)
        return network.history(training, runs)

    def train_all(
        self, name: str, arms: Arms, epochs: int, *, choosing: int = 0
    ) -> History:
        """The figures of arms, those of each optimizer trained by themselves."""
        found: list[History] = []
        for optimizer in dict.fromkeys(arm.optimizer for arm in arms.values()):
            training = self.of(with_(optimizer, arms), epochs, choosing=choosing)
            found.append(self.train(stage(name, optimizer), training))
        names = [arm for history in found for arm in history.arms]
        return History(
            tuple(names), np.concatenate([history.figures for history in found])
        )


def with_(optimizer: optax.GradientTransformation, arms: Arms) -> Arms:
    """The arms of an optimizer."""
    return {name: arm for name, arm in arms.items() if arm.optimizer == optimizer}


def stage(name: str, optimizer: optax.GradientTransformation) -> str:
    """What the training of the arms of an optimizer is called."""
    return f"{name}, {OPTIMIZERS[optimizer][0]}"


def experiment(
    trainings: Trainings, settings: Settings, data: FashionMNIST, found: Row
) -> Iterator[Row]:
    """Yields each part's results when it is done; takes the rates of `found`."""
    choosing = split(data)
    work = Work(settings, trainings, choosing, choosing._replace(test=data.test))

    if "bounds" not in found:
        trainings.console.print("Range tests and sweeps of all seeds")
        started = time.perf_counter()
        found = rates(choosing, settings)
        found["seconds"] = {"rates": time.perf_counter() - started}
    trainings.seconds["rates"] = found["seconds"]["rates"]
    yield {name: found[name] for name in ("range_test", "sweeps", "bounds")}
    bounds = found["bounds"]

    yield {"E": landscape(work, bounds)}
    scores = peak_scores(work, bounds[RANGE_TEST])
    yield {"peaks": scores}
    arms = anytime_arms(settings, bounds, scores)
    history = work.train_all(ANY_TIME, arms, settings.reads[-1])
    swept = sum(sweep["steps"] for sweep in found["sweeps"])
    cost = partial(anytime_tuning, settings, swept)
    runs = [row(name, arm, history, cost(name)) for name, arm in arms.items()]
    yield {"C": runs + list(branches(work, scores))}
    yield {"D": snapshots_of(work, arms)}
    yield {"B": tuned(work, scores, bounds[RANGE_TEST])}
    yield {"A": list(untuned(work, bounds[RANGE_TEST]))}


def run_epochs(settings: Settings) -> int:
    """The epochs of all single runs, which is all but the range tests and sweeps."""
    points = len(settings.peaks) * len(settings.ratios) + len(SUGGESTIONS)
    tried = sum(trials(plan, settings) for plan in TRIED.values())
    spared = len(settings.grid) - 1  # the second cool-down tries one peak
    longest, last = settings.epochs[-1], settings.reads[-1]
    anytime = len(ANYTIME_ARMS) * last + wsd_epochs(settings.reads)
    return (
        points * settings.landscape_seeds * settings.landscape_epochs
        + (tried - spared) * longest
        + anytime * settings.seeds
        + len(SCHEDULES) * settings.seeds * (longest + sum(settings.epochs))
    )


def rates(choosing: FashionMNIST, settings: Settings) -> Row:
    """The range tests and the sweeps of all seeds, and the medians of their bounds."""
    test, swept = range_tests(choosing.train, settings), sweeps(choosing, settings)
    try:
        by_seed = [sweep.bounds() for sweep in swept]
        bounds = {
            RANGE_TEST: list(test.bounds()),
            SWEEP: np.median(by_seed, axis=0).tolist(),
        }
    except ValueError as error:
        raise LabError(f"the range test cannot be read: {error}") from error
    return {
        "range_test": {"lrs": test.lrs[0].tolist(), "losses": test.losses.tolist()},
        "sweeps": [sweep_to_json(sweep) for sweep in swept],
        "bounds": bounds,
    }


def range_tests(images: Images, settings: Settings) -> RangeTest:
    """The curves of all seeds, with a leading axis over them."""
    steps = settings.range_steps

    def of_seed(images: Images, seed: jax.Array) -> RangeTest:
        key = jax.random.key(seed)
        return lr_range_test(
            partial(loss_of_rows, images),
            network.initial_weights(key),
            shuffled(key, len(images.images), steps, settings.batch_size),
            min_lr=1e-5,
            max_lr=10.0,
            num_steps=steps,
            optimizer=momentum,
            key=key,
        )

    @jax.jit
    def curves_of(images: Images, seeds: jax.Array) -> Any:
        # one seed after the other: side by side, their different weights cost more
        return jax.lax.map(partial(of_seed, images), seeds)

    stack: RangeTest = curves_of(images, jnp.arange(settings.range_seeds))
    return stack


def sweeps(choosing: FashionMNIST, settings: Settings) -> list[Sweep]:
    """The sweep of each seed, over the batches of its range test."""
    count, size = len(choosing.train.images), settings.batch_size
    joined: Any = jax.tree.map(
        lambda *parts: jnp.concatenate(parts), choosing.train, choosing.test
    )
    held_out = count + np.arange(settings.held_out)
    steps = max(100, settings.sweep_steps)  # a sweep begins with a test of 100
    loss, found = partial(loss_of_rows, joined), []  # one function is compiled once
    for seed in range(settings.range_seeds):
        key = jax.random.key(seed)
        sweep = lr_sweep(
            loss,
            network.initial_weights(key),
            shuffled(key, count, steps, size),
            held_out=list(held_out.reshape(-1, size)),
            num_steps=settings.sweep_steps,
            optimizer=momentum,
            key=key,
        )
        found.append(sweep)
    return found


def loss_of_rows(
    images: Images, params: Any, rows: jax.Array, key: jax.Array
) -> jax.Array:
    """The mean loss of some of the images in training."""
    keys = jax.random.split(key, len(rows))  # by place, not by image
    losses, _ = network.score(params, images.images[rows], images.labels[rows], keys)
    return losses.mean()


def shuffled(key: jax.Array, count: int, steps: int, batch_size: int) -> jax.Array:
    """A batch of rows for each step, in one random order after the other."""
    size = steps * batch_size
    epochs = jax.random.split(key, -(-size // count))
    order = jax.vmap(partial(jax.random.permutation, x=count))(epochs)
    return order.reshape(-1)[:size].reshape(steps, batch_size)


def untuned(work: Work, bounds: Bounds) -> Iterator[Row]:
    """Part A: a row for each schedule and length."""
    settings = work.settings
    for epochs in settings.epochs:
        steps = epochs * settings.steps_per_epoch
        arms = {name: plan.arm(*bounds, steps) for name, plan in SCHEDULES.items()}
        history = work.train(f"A {epochs} epochs", work.of(arms, epochs))
        cost = settings.range_test_steps
        yield from (row(name, arm, history, cost) for name, arm in arms.items())


def tuned(work: Work, scores: Scores, bounds: Bounds) -> list[Row]:
    """Part B: a row for each schedule at its best peak."""
    settings = work.settings
    epochs = settings.epochs[-1]
    steps = epochs * settings.steps_per_epoch
    arms = {
        name: plan.arm(*at_best(scores, [name], bounds), steps)
        for name, plan in SCHEDULES.items()
    }
    history = work.train("B final", work.of(arms, epochs))
    return [
        row(name, arm, history, tuning_steps(SCHEDULES[name], settings))
        for name, arm in arms.items()
    ]


def peak_scores(work: Work, bounds: Bounds) -> Scores:
    """What peaks are chosen by: each schedule's accuracy with each peak it tries."""
    first, *others = COOL_DOWNS
    tried = {
        name: peaks_to_try(plan, work.settings, bounds[1])
        for name, plan in TRIED.items()
        if name not in others
    }
    scores = tried_out(work, "B choices", tried, bounds)
    _, peak = best(scores, [first])
    tried = {name: [peak] for name in others}
    return scores | tried_out(work, "B choices, cool-down", tried, bounds)


def tried_out(
    work: Work, purpose: str, tried: Mapping[str, Sequence[float]], bounds: Bounds
) -> Scores:
    """The accuracy of each schedule with each of its peaks, on one seed."""
    epochs, ratio = work.settings.epochs[-1], bounds[1] / bounds[0]
    steps = epochs * work.settings.steps_per_epoch
    trial = "{}, {:g}".format
    arms = {
        trial(name, peak): TRIED[name].arm(peak / ratio, peak, steps)
        for name, peaks in tried.items()
        for peak in peaks
    }
    accuracy = work.train_all(purpose, arms, epochs, choosing=1).scores()
    return {
        name: {f"{peak:g}": accuracy[trial(name, peak)] for peak in peaks}
        for name, peaks in tried.items()
    }


def peaks_to_try(plan: Schedule, settings: Settings, max_lr: float) -> list[float]:
    """As many of its grid as the schedule tries, those nearest to max_lr."""
    grid = [plan.scale * peak for peak in settings.grid]
    grid.sort(key=lambda peak: abs(np.log(peak / max_lr)))
    return sorted(grid[: trials(plan, settings)])


def trials(plan: Schedule, settings: Settings) -> int:
    """How many peaks a schedule tries; one less if its range test cost as much."""
    return len(settings.grid) - (plan.role == "cyclical")


def best(scores: Scores, names: Iterable[str]) -> tuple[str, float]:
    """Which of some schedules is the most accurate with which of its peaks."""
    tried = [(name, peak) for name in names for peak in scores[name]]
    name, peak = max(tried, key=lambda trial: scores[trial[0]][trial[1]])
    return name, float(peak)


def at_best(scores: Scores, names: Iterable[str], bounds: Bounds) -> Bounds:
    """The best peak of some schedules, below it a base_lr in the ratio of bounds."""
    _, peak = best(scores, names)
    return peak * bounds[0] / bounds[1], peak


def tuning_steps(plan: Schedule, settings: Settings) -> int:
    """What the choice of a peak in B costs."""
    epochs = trials(plan, settings) * settings.epochs[-1]
    steps = epochs * settings.steps_per_epoch
    return steps + settings.range_test_steps * (plan.role == "cyclical")


def anytime_tuning(settings: Settings, swept: int, arm: str) -> int:
    """What the choice of an arm's rates in C costs; the sweeps took `swept` steps."""
    names, source = ANYTIME_ARMS[arm]
    if source == TUNED:  # one run serves all averages
        return tuning_steps(PLANS[names[0]], settings)
    return swept if source == SWEEP else settings.range_test_steps


def anytime_arms(
    settings: Settings, bounds: Mapping[str, Bounds], scores: Scores
) -> dict[str, Arm]:
    """Part C's arms, but for the one of branches."""
    steps = settings.reads[-1] * settings.steps_per_epoch
    arms = {}
    for arm, (names, source) in ANYTIME_ARMS.items():
        if source == TUNED:
            name, _ = best(scores, names)
            chosen = at_best(scores, names, bounds[RANGE_TEST])
        else:
            (name,), chosen = names, bounds[source]
        arms[arm] = PLANS[name].arm(*chosen, steps)
    return arms


def branches(work: Work, scores: Scores) -> Iterator[Row]:
    """C's WSD: a row for each reading, the end of a branch of one run that is held."""
    settings = work.settings
    name, peak = best(scores, COOL_DOWNS)
    last, per_epoch = settings.reads[-1], settings.steps_per_epoch
    steps, begin = last * per_epoch, begins(settings.reads)
    cost = tuning_steps(COOL_DOWNS[name], settings)
    cost += settings.epochs[-1] * per_epoch // COOL_DOWN  # of 1 - sqrt

    def of(rate: Rate, epochs: int) -> Training:
        arm = Schedule("peer", rate).arm(peak, peak, steps)
        about = f"{name}, {arm.about}"
        return work.of({tuned_name(WSD): replace(arm, about=about)}, epochs)

    held, hold = of(warm_up, max(begin.values())), f"{ANY_TIME}, {WSD}, hold"
    work.train(hold, held, keep_every=1)
    starts = work.trainings.at(hold, held, list(begin.values()))
    for end, start in zip(begin, starts, strict=True):
        rate = wsd(DECLINES[name], end / last, (end - begin[end]) / last)
        branch = of(rate, end)
        history = work.train(f"{ANY_TIME}, {WSD}, {end} epochs", branch, start)
        ((arm, as_arm),) = branch.arms.items()
        yield row(arm, as_arm, history, cost)


def snapshots_of(work: Work, arms: Arms) -> dict[str, Row]:
    """Part D: the snapshots of the arms that are read at their own weights."""
    settings = work.settings
    training = work.of(with_(MOMENTUM, arms), settings.reads[-1])
    ends = work.trainings.at(stage(ANY_TIME, MOMENTUM), training, settings.cycle_ends)
    return snapshots(training, ends, work.final.test)


def snapshots(training: Training, ends: list[Runs], images: Images) -> dict[str, Row]:
    """Part D, by arm: every seed's accuracy of the outputs' mean, and of the last's."""
    outputs = [softmax_outputs(training, runs, images.images) for runs in ends]
    shape = len(training.arms), training.seeds
    together, alone = (
        accuracies(found, images.labels).reshape(shape).tolist()
        for found in (np.mean(outputs, axis=0), outputs[-1])
    )
    return {
        name: {"together": together[number], "alone": alone[number]}
        for number, name in enumerate(training.arms)
    }


def softmax_outputs(
    training: Training, runs: Runs, images: NDArray[np.uint8]
) -> NDArray[np.float32]:
    """Probabilities, of shape (runs, images, 10)."""
    parts = images.reshape(-1, math.gcd(len(images), 250), 28, 28)
    return training.score(probabilities, runs, parts).reshape(-1, len(images), 10)


def probabilities(weights: Any, _: Any, parts: jax.Array) -> jax.Array:
    """What a network says of images, part by part."""
    return jax.nn.softmax(jax.lax.map(partial(network.logits, weights), parts))


def accuracies(
    outputs: NDArray[np.float32], labels: NDArray[np.int32]
) -> NDArray[np.float64]:
    """The share of right answers of each run, NaN for one that says nothing."""
    right = outputs.argmax(axis=-1) == labels
    known = np.isfinite(outputs).all(axis=(-1, -2))
    share: NDArray[np.float64] = np.where(known, right.mean(axis=-1), np.nan)
    return share


def landscape(work: Work, bounds: Mapping[str, Bounds]) -> Row:
    """Part E: every seed's accuracy by peak and ratio, and those of suggestions."""
    settings = work.settings
    epochs, seeds = settings.landscape_epochs, settings.landscape_seeds
    steps = epochs * settings.steps_per_epoch
    points = {
        cell(peak, ratio): (peak / ratio, peak)
        for peak in settings.peaks
        for ratio in settings.ratios
    }
    max_lr = bounds[RANGE_TEST][1]
    points |= {**bounds, QUARTER: (max_lr / 4, max_lr)}
    cycle = Schedule("cyclical", cycles(1))
    arms = {name: cycle.arm(*chosen, steps) for name, chosen in points.items()}
    history = work.train("E landscape", work.of(arms, epochs, choosing=seeds))
    found = {name: history.last(name, "val_accuracy").tolist() for name in arms}
    accuracy = [
        [found[cell(peak, ratio)] for ratio in settings.ratios]
        for peak in settings.peaks
    ]
    return {"accuracy": accuracy} | {name: found[name] for name in SUGGESTIONS}


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

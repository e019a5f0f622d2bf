"""The parts of the protocol, each a function from what came before to its results."""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from numpy.typing import NDArray

from clr_optax import RangeTest, lr_range_test
from lab import LabError, network
from lab.arms import Arm
from lab.comparison.protocol import Settings, split
from lab.comparison.schedules import (
    BASELINE,
    FIXED,
    ONE_CYCLE,
    SCHEDULES,
    TRIANGULAR,
    Schedule,
    restarts,
    three_cycles,
    triangular,
)
from lab.data import FashionMNIST, Images
from lab.history import History, Runs
from lab.stages import Stages
from lab.training import start

Results = dict[str, Any]


def experiment(
    stages: Stages, settings: Settings, data: FashionMNIST
) -> Iterator[Results]:
    """Yields the results of each part as soon as it is done."""
    choosing = split(data)
    final = FashionMNIST(choosing.train, data.test, data.source)

    test = range_test(choosing.train, settings)
    bounds = readable_bounds(test)
    yield {"range_test": as_lists(test), "bounds": bounds}
    yield {"A": list(untuned(stages, settings, final, bounds))}

    chosen = tuned_peaks(stages, settings, choosing, bounds)
    yield {"peaks": chosen}
    peaks = {name: best(scores) for name, scores in chosen.items()}
    yield {"B": tuned(stages, settings, final, peaks, bounds[1] / bounds[0])}

    arms = anytime_arms(settings, bounds, peaks)
    history = stages.train(
        "C any time",
        arms,
        final,
        seeds=settings.seeds,
        epochs=settings.anytime[-1],
    )
    yield {"C": [row(name, arm, history) for name, arm in arms.items()]}
    yield {"D": snapshots(stages, settings, arms, data.test)}
    yield {"E": landscape(stages, settings, choosing, bounds)}


def range_test(images: Images, settings: Settings) -> RangeTest:
    """The curves of all seeds, on the network and the images that are trained."""
    data = jax.tree.map(jnp.asarray, images)

    def loss_fn(weights: Any, rows: jax.Array, key: jax.Array) -> jax.Array:
        keys = jax.random.split(key, len(rows))
        losses, _ = network.score(weights, data.images[rows], data.labels[rows], keys)
        return losses.mean()

    def one_seed(seed: jax.Array) -> RangeTest:
        key = jax.random.key(seed)
        shape = settings.range_steps, settings.batch_size
        order = jax.random.permutation(key, len(images.images))
        return lr_range_test(
            loss_fn,
            network.initial_weights(key),
            jnp.resize(order, shape),
            min_lr=1e-5,
            max_lr=10.0,
            num_steps=settings.range_steps,
            optimizer=partial(optax.sgd, momentum=0.9),
            key=key,
        )

    # one seed after the other: side by side, their different weights cost more
    curves: RangeTest = jax.jit(partial(jax.lax.map, one_seed))(
        jnp.arange(settings.range_seeds)
    )
    return curves


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


def tuned_peaks(
    stages: Stages, settings: Settings, data: FashionMNIST, bounds: tuple[float, float]
) -> dict[str, dict[str, float]]:
    """Part B's choices: for each schedule the accuracy of each peak it tried."""
    epochs = settings.epochs[-1]
    ratio = bounds[1] / bounds[0]
    arms = {
        (name, peak): plan.arm(peak / ratio, peak, epochs * settings.steps_per_epoch)
        for name, plan in SCHEDULES.items()
        for peak in peaks_to_try(plan, settings, bounds[1])
    }
    named = {f"{name}, {peak:g}": arm for (name, peak), arm in arms.items()}
    history = stages.train("B choices", named, data, seeds=1, epochs=epochs)
    scores: dict[str, dict[str, float]] = {name: {} for name in SCHEDULES}
    for name, peak in arms:
        accuracy = history.last(f"{name}, {peak:g}", "val_accuracy")[0]
        scores[name][f"{peak:g}"] = float(accuracy) if np.isfinite(accuracy) else 0.0
    return scores


def peaks_to_try(plan: Schedule, settings: Settings, max_lr: float) -> list[float]:
    """The grid; without its farthest point for those whose range test cost as much."""
    grid = sorted(settings.grid, key=lambda peak: abs(np.log(peak / max_lr)))
    return sorted(grid[:-1] if plan.role == "cyclical" else grid)


def best(scores: dict[str, float]) -> float:
    """The peak of the highest accuracy."""
    return float(max(scores, key=scores.__getitem__))


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


def tuning_steps(plan: Schedule, settings: Settings) -> int:
    """What the choice of a peak in B cost."""
    trials = len(settings.grid) * settings.epochs[-1] * settings.steps_per_epoch
    if plan.role != "cyclical":
        return trials
    return settings.range_test_steps + trials - trials // len(settings.grid)


def anytime_arms(
    settings: Settings, bounds: tuple[float, float], peaks: dict[str, float]
) -> dict[str, Arm]:
    """Part C's arms: who restarts has three cycles, the others one plan for all."""
    steps = settings.anytime[-1] * settings.steps_per_epoch
    base_lr, max_lr = bounds
    cycles = Schedule("cyclical", three_cycles)
    peak = peaks[TRIANGULAR]
    arms = {
        "CLR, untuned": cycles.arm(base_lr, max_lr, steps),
        "CLR, tuned": cycles.arm(peak * base_lr / max_lr, peak, steps),
        "SGDR": Schedule("peer", restarts).arm(0.0, peaks[BASELINE], steps),
    }
    for name in (BASELINE, ONE_CYCLE, FIXED):
        arms[name] = SCHEDULES[name].arm(0.0, peaks[name], steps)
    return arms


def snapshots(
    stages: Stages, settings: Settings, arms: Mapping[str, Arm], images: Images
) -> dict[str, Results]:
    """Part D: the accuracy of each network's mean output over its snapshots."""
    optimizers = {name: arm.optimizer for name, arm in arms.items()}
    like = start(optimizers, settings.seeds)
    checkpoints = stages.checkpoints("C any time", arms)
    outputs = [
        softmax_outputs(checkpoints.at(epoch, like), images.images)
        for epoch in settings.anytime
    ]
    accuracy = accuracies(np.mean(outputs, axis=0), images.labels)
    alone = accuracies(outputs[-1], images.labels)
    by_arm = (len(arms), settings.seeds)
    return {
        name: {"mean of outputs": together.tolist(), "last alone": single.tolist()}
        for name, together, single in zip(
            arms, accuracy.reshape(by_arm), alone.reshape(by_arm), strict=True
        )
    }


def softmax_outputs(runs: Runs, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Probabilities, of shape (runs, images, 10)."""
    parts = np.array_split(images, max(1, len(images) // 250))

    @jax.jit
    def probabilities(weights: Any, part: jax.Array) -> jax.Array:
        return jax.nn.softmax(network.logits(weights, part))

    params = jax.tree.map(np.asarray, runs.state.params)
    count = len(jax.tree.leaves(params)[0])
    weights = [jax.tree.map(lambda leaf, k=k: leaf[k], params) for k in range(count)]
    return np.stack(
        [np.concatenate([probabilities(w, part) for part in parts]) for w in weights]
    )


def accuracies(
    outputs: NDArray[np.float32], labels: NDArray[np.int32]
) -> NDArray[np.float64]:
    """The share of right answers of each run."""
    right: NDArray[np.float64] = np.mean(outputs.argmax(axis=-1) == labels, axis=-1)
    return right


def landscape(
    stages: Stages, settings: Settings, data: FashionMNIST, bounds: tuple[float, float]
) -> Results:
    """Part E: accuracy by peak, ratio and seed, and of the range test's bounds."""
    steps = settings.landscape_epochs * settings.steps_per_epoch
    cycle = Schedule("cyclical", triangular)
    arms = {
        f"peak {peak:g}, ratio {ratio:g}": cycle.arm(peak / ratio, peak, steps)
        for peak in settings.peaks
        for ratio in settings.ratios
    }
    arms["range test"] = cycle.arm(*bounds, steps)
    history = stages.train(
        "E landscape",
        arms,
        data,
        seeds=settings.landscape_seeds,
        epochs=settings.landscape_epochs,
    )
    accuracy = history.figures[:, :, -1, history.metrics.index("val_accuracy")]
    shape = len(settings.peaks), len(settings.ratios), settings.landscape_seeds
    return {
        "peaks": settings.peaks,
        "ratios": settings.ratios,
        "accuracy": accuracy[:-1].reshape(shape).tolist(),
        "suggestion": accuracy[-1].tolist(),
    }


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


def readable_bounds(test: RangeTest) -> tuple[float, float]:
    """The medians over the seeds."""
    try:
        return test.bounds()
    except ValueError as error:
        raise LabError(f"the range test cannot be read: {error}") from error


def as_lists(test: RangeTest) -> Results:
    """The curves, for the JSON."""
    return {
        "lrs": np.asarray(test.lrs).tolist(),
        "losses": np.asarray(test.losses).tolist(),
    }

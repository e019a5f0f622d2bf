"""The protocol of superconvergence.py, fixed before its figures were seen.

1. A fixed permutation divides the 60,000 training images into 55,000 for training and
   5,000 for validation. Every choice is made on the validation images.
2. The fixed rate: the best of a grid, plain and with momentum 0.9, each trained for as
   many epochs as the final run, one seed.
3. CLR's bounds: the medians over the seeds of suggest_bounds on range tests with
   momentum 0.9. Its shape (the bounds whole or halved; the last none, quarter or half
   of the run spent falling from base_lr to a hundredth of it) is chosen in short runs,
   one seed, by the mean accuracy with and without cyclical momentum. One cycle a run.
4. Tuning is counted in training steps; CLR's, range tests included, must not be more
   than the grid's.
5. The final runs train on the 55,000 images with paired seeds (the same weights and
   batches for every arm) and are scored on the 10,000 test images. No choice follows.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import optax
from checkpoints import Checkpoints
from dataset import FashionMNIST
from range_tests import OPTIMIZERS, cost_ratio, range_tests
from rich.console import Console
from training import METRICS, initial_state, train

from clr_optax import clr_schedule, momentum_schedule

TUTORIAL = "tutorial's SGD"
MOMENTA = {"CLR": (0.9, 0.9), "CLR, cyclical momentum": (0.85, 0.95)}
GRID = [(rate, 0.0) for rate in (0.1, 0.3, 1.0)]
GRID += [(rate, 0.9) for rate in (0.02, 0.05, 0.1)]
SHAPES = [(part, tail) for part in (1.0, 0.5) for tail in (0.0, 0.25, 0.5)]
ACCURACY = METRICS.index("val_accuracy")


class ProtocolError(RuntimeError):
    """The settings, or what came out with them, don't let the protocol go on."""


@dataclass(frozen=True)
class Settings:
    """What the figures depend on."""

    epochs: tuple[int, ...] = (1, 2, 4, 10)  # of CLR's runs; the last: everyone's
    trial_epochs: int = 4
    seeds: int = 5
    batch_size: int = 64
    range_steps: int = 400
    train_images: int = 55_000

    @property
    def steps_per_epoch(self) -> int:
        return -(-self.train_images // self.batch_size)

    @property
    def tuning_steps(self) -> dict[str, int]:
        """The steps spent on the choice of the fixed rate, and on CLR's."""
        trials = len(SHAPES) * len(MOMENTA) * self.trial_epochs * self.steps_per_epoch
        tests = len(OPTIMIZERS) * self.seeds * self.range_steps
        grid = len(GRID) * self.epochs[-1] * self.steps_per_epoch
        return {"fixed": grid, "CLR": tests + trials}

    def check(self) -> None:
        """Raises ProtocolError if CLR would be tuned more than the fixed rate."""
        grid, clr = self.tuning_steps.values()
        if clr > grid:
            raise ProtocolError(
                f"tuning CLR would take {clr:,} steps, the fixed rate {grid:,}: "
                "give fewer --trial-epochs or --range-steps, or more --epochs."
            )


@dataclass(frozen=True)
class Arm:
    """An optimizer, and the words for it that go into the JSON."""

    about: str
    rate: optax.Schedule
    momentum: optax.Schedule

    @property
    def optimizer(self) -> optax.GradientTransformation:
        # The same form for every arm: one program needs states of one structure.
        inject = optax.inject_hyperparams(optax.sgd)
        return inject(learning_rate=self.rate, momentum=self.momentum)


def fixed(rate: float, momentum: float) -> Arm:
    """A constant rate."""
    about = f"SGD {rate:g}, momentum {momentum:g}" if momentum else f"SGD {rate:g}"
    constant = optax.constant_schedule
    return Arm(about, constant(rate), constant(momentum))


def cyclical(
    bounds: tuple[float, float],
    shape: tuple[float, float],
    momenta: tuple[float, float],
    steps: int,
) -> Arm:
    """One cycle, then a tail in which the rate falls to a hundredth of base_lr."""
    part, tail = shape
    base_lr, max_lr = (part * bound for bound in bounds)
    last = round(tail * steps)
    up = max(1, (steps - last) // 2)
    down = max(1, steps - last - up)
    clr = clr_schedule(base_lr, max_lr, up, step_size_down=down)
    momentum = momentum_schedule(*momenta, up, step_size_down=down)
    about = f"SGD {clr}, {momentum}"
    if last:
        about += f", then {last} steps down to {base_lr / 100:.3g}"
    fall = optax.linear_schedule(base_lr, base_lr / 100, max(1, last))
    hold = optax.constant_schedule(momenta[1])
    return Arm(
        about,
        optax.join_schedules([clr, fall], [up + down]),
        optax.join_schedules([momentum, hold], [up + down]),
    )


def split(data: FashionMNIST) -> FashionMNIST:
    """A twelfth of the training images as the test part: what choices are made on."""
    order = np.random.default_rng(0).permutation(len(data.train_images))
    held, kept = np.split(order, [len(order) // 12])
    arrays = (array[rows] for rows in (kept, held) for array in data[:2])
    return FashionMNIST(*arrays, data.source)


class Trainer:
    """Trains a dictionary of arms; a checkpoint after each epoch lets it go on."""

    def __init__(self, settings: Settings, folder: Path, console: Console):
        self.settings, self.folder, self.console = settings, folder, console
        self.seconds: dict[str, float] = {}

    def __call__(
        self,
        stage: str,
        arms: Mapping[str, Arm],
        data: FashionMNIST,
        *,
        seeds: int,
        epochs: int,
    ) -> dict[str, np.ndarray]:
        """Each arm's figures, of shape (seeds, epochs, METRICS)."""
        optimizers = {name: arm.optimizer for name, arm in arms.items()}
        about = {name: arm.about for name, arm in arms.items()}
        settings = json.loads(json.dumps({**asdict(self.settings), **about}))
        checkpoints = Checkpoints(self.folder / stage.replace(" ", "-"), settings)
        found = checkpoints.latest(initial_state(optimizers, seeds), epochs)
        shape = len(arms), seeds, 0, len(METRICS)
        resume, history = None, np.zeros(shape, np.float32)
        if found:
            *resume, history = found
        if history.shape[2] < epochs:
            for epoch in train(
                optimizers,
                data,
                seeds=seeds,
                epochs=epochs,
                batch_size=self.settings.batch_size,
                resume=resume,
            ):
                history = np.append(history, epoch.figures, axis=2)
                checkpoints.save(epoch.number, epoch.state, history)
                seconds = self.seconds.get(stage, 0.0) + epoch.seconds
                self.seconds[stage] = seconds + epoch.compile_seconds
                best = np.nanmax(history[:, :, -1, ACCURACY].mean(axis=1))
                self.console.print(
                    f"{stage}: epoch {epoch.number}/{epochs} of {len(arms) * seeds} "
                    f"runs, {epoch.seconds:.1f} s, best accuracy {best:.4f}"
                )
        return dict(zip(arms, history, strict=True))


def experiment(
    settings: Settings, data: FashionMNIST, results: dict[str, Any], trainer: Trainer
) -> None:
    """The protocol, step by step; `results` always holds what is finished."""
    choosing = split(data)
    final = FashionMNIST(*choosing[:2], *data[2:])
    size = {"steps": settings.range_steps, "batch_size": settings.batch_size}
    long, steps = settings.epochs[-1], settings.steps_per_epoch

    # The bounds.
    if "range_test_cost" not in results:
        trainer.console.print(f"Range tests of {settings.range_steps} steps")
        tests = range_tests(choosing, seeds=settings.seeds, **size)
        results["range_test"] = tests
        results["range_test_cost"] = cost_ratio(choosing, **size)
    read = results["range_test"]["SGD, momentum 0.9"]["suggestions"]
    bounds = read["base_lr"]["median"], read["smith"]["median"]
    if not all(map(np.isfinite, bounds)):
        raise ProtocolError("no range test could be read: give more --range-steps.")

    # The choices, on the validation images.
    train_one = partial(trainer, data=choosing, seeds=1)
    grid = {arm.about: arm for arm in (fixed(*point) for point in GRID)}
    scores = scored(train_one("fixed rates", grid, epochs=long))
    best = max(scores, key=scores.get)
    results["choices"] = {"fixed": scores, "best fixed": best}

    trials = {
        f"{name}, bounds x {part:g}, tail {tail:g}": cyclical(
            bounds, (part, tail), momenta, settings.trial_epochs * steps
        )
        for name, momenta in MOMENTA.items()
        for part, tail in SHAPES
    }
    clr_scores = scored(train_one("CLR shapes", trials, epochs=settings.trial_epochs))
    by_shape = np.reshape(list(clr_scores.values()), (len(MOMENTA), len(SHAPES)))
    shape = SHAPES[int(by_shape.mean(axis=0).argmax())]
    results["choices"] |= {"CLR": clr_scores, "best shape": shape, "bounds": bounds}

    # The final runs, on the test images.
    results["final"] = []
    for epochs in settings.epochs:
        arms = {
            name: cyclical(bounds, shape, momenta, epochs * steps)
            for name, momenta in MOMENTA.items()
        }
        if epochs == long:
            arms = {TUTORIAL: fixed(0.01, 0.0), "best fixed rate": grid[best], **arms}
        count = f"{epochs} epoch{'s' * (epochs > 1)}"
        for name, history in trainer(
            f"final {count}", arms, final, seeds=settings.seeds, epochs=epochs
        ).items():
            by_metric = {m: history[..., k].tolist() for k, m in enumerate(METRICS)}
            row = {"arm": name, "epochs": epochs, "about": arms[name].about}
            results["final"].append(row | by_metric)


def scored(histories: dict[str, np.ndarray]) -> dict[str, float]:
    """Each arm's accuracy after its last epoch; 0 if it diverged."""
    lasts = {name: history[:, -1] for name, history in histories.items()}
    return {
        name: float(last[:, ACCURACY].mean()) if np.isfinite(last).all() else 0.0
        for name, last in lasts.items()
    }

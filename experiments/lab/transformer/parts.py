"""The parts of the protocol: the range tests, and the runs of each length."""

import time
from collections.abc import Iterator, Mapping
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import numpy as np
import optax

from clr_optax import lr_range_test
from lab import LabError
from lab.checkpoints import Trainings
from lab.training import Arm, Stretch, Training
from lab.transformer.network import Network
from lab.transformer.protocol import Settings, final_arms, grid_arms
from lab.transformer.report import as_curves, tuned_peak
from lab.transformer.text import Text, Tokens, loader, windows

SAVE_EVERY = 10  # stretches; a checkpoint holds the states of all runs of a stage


class Stage(NamedTuple):
    """Runs that are trained and scored alike: every arm on every seed."""

    name: str
    length: int
    arms: Mapping[str, Arm]
    seeds: int
    learned: Tokens
    scored: Tokens


def experiment(
    trainings: Trainings, settings: Settings, text: Text, found: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    """Yields what is new in the results; what is `found` is not done again."""
    network = Network(settings, text.vocabulary)
    test = found.get("range_test") or range_tests(network, text)
    try:  # the protocol's 3 says why the peak is not the upper bound
        curves = as_curves(test)
        base_lr, peak = curves.bounds()[0], curves.suggest("minimum")
    except ValueError as error:
        raise LabError(f"the range tests cannot be read: {error}") from error
    rows = found.get("runs", [])
    yield {"range_test": test, "base_lr": base_lr, "peak": peak, "runs": rows}

    for length in settings.lengths:
        arms = grid_arms(settings.grid, length)
        grid = Stage("grid", length, arms, 1, text.first, text.second)
        rows = rows + new_rows(grid, network, trainings, rows)
        yield {"runs": rows}
        arms = final_arms(base_lr, peak, tuned_peak(rows, length), length)
        seeds = settings.seeds
        final = Stage("final", length, arms, seeds, text.learned, text.held_out)
        rows = rows + new_rows(final, network, trainings, rows)
        yield {"runs": rows}
    yield {"finished": True}


def range_tests(network: Network, text: Text) -> dict[str, Any]:
    """The library's range test on each seed, as any program with a loader calls it."""
    settings, started = network.settings, time.perf_counter()
    tests = []
    for seed in range(settings.seeds):
        key = jax.random.key(seed)
        params, rest = network.start(key)
        test = lr_range_test(
            network.loss_fn,
            params,
            loader(text.first, settings.context, settings.batch_size, seed),
            state=rest,
            key=key,
            max_lr=1.0,
            num_steps=settings.range_steps,
            optimizer=optax.adamw,
        )
        tests.append(test)
    return {
        "lrs": tests[0].lrs.tolist(),
        "losses": [test.losses.tolist() for test in tests],
        "seconds": time.perf_counter() - started,
    }


def new_rows(
    stage: Stage, network: Network, trainings: Trainings, rows: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """The rows of a stage's runs, seed by seed, if they are not among `rows`.

    A row is a run's figures: the mean loss in scoring, the losses in training as means
    of `every` steps.
    """
    name = f"{stage.name} of {stage.length} steps"
    if any((r["stage"], r["length"]) == (stage.name, stage.length) for r in rows):
        trainings.remove(name)
        return []
    training = of_stage(stage, network)
    told = partial(progress, stage, network.settings.every)
    runs = trainings.train(name, training, told, save_every=SAVE_EVERY)
    scored = windows(stage.scored, network.settings.context)
    bits = training.score(network.bits, runs, scored)
    return [
        {
            "stage": stage.name,
            "length": stage.length,
            "arm": arm,
            "role": stage.arms[arm].role,
            "seed": seed,
            "bits": float(bits[number * stage.seeds + seed]),
            "losses": [
                float(part.mean()) for part in runs.figures[number * stage.seeds + seed]
            ],
        }
        for seed in range(stage.seeds)
        for number, arm in enumerate(stage.arms)
    ]


def of_stage(stage: Stage, network: Network) -> Training:
    """The training of a stage, of which a stretch is `every` steps."""
    settings = network.settings

    @cache
    def of_seed(seed: int) -> Any:
        return loader(stage.learned, settings.context, settings.batch_size, seed)

    def batches(seed: int, number: int) -> Tokens:
        first = number * settings.every
        steps = range(first, first + settings.every)
        return np.stack([of_seed(seed)[step] for step in steps])

    stretches = stage.length // settings.every
    return Training(network.task, stage.arms, stage.seeds, (), batches, stretches)


def progress(stage: Stage, every: int, stretch: Stretch) -> str:
    """How far the runs of a stage are."""
    figures = stretch.runs.figures
    return (
        f"step {stretch.runs.done * every}/{stage.length} of {len(figures)} runs, "
        f"{stretch.seconds:.1f} s, mean loss {figures[:, -1].mean():.3f} bits"
    )

"""The parts of the protocol: the sweeps, and the runs of each length."""

import time
from collections.abc import Iterator, Mapping
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import numpy as np
import optax

from clr_optax import lr_sweep
from lab.checkpoints import Trainings
from lab.training import Arm, Stretch, Training
from lab.transformer.network import Network
from lab.transformer.protocol import Settings, final_arms, grid_arms
from lab.transformer.report import tuned_peak
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
    swept = found.get("sweeps") or sweeps(network, text)
    base_lr, peak = medians(swept)
    rows = found.get("runs", [])
    yield {"sweeps": swept, "base_lr": base_lr, "peak": peak, "runs": rows}

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


def sweeps(network: Network, text: Text) -> list[dict[str, Any]]:
    """The library's sweep on each seed, as any program with a loader calls it."""
    settings, found = network.settings, []
    context, size = settings.context, settings.batch_size
    scored = loader(text.second, context, size, seed=0)
    held_out = [scored[number] for number in range(settings.held_out)]
    for seed in range(settings.seeds):
        started, key = time.perf_counter(), jax.random.key(seed)
        params, rest = network.start(key)
        sweep = lr_sweep(
            network.loss_fn,
            params,
            loader(text.first, context, size, seed),
            state=rest,
            held_out=held_out,
            num_steps=settings.cycle,
            optimizer=optax.adamw,
            key=key,
        )
        found.append(
            {
                "peaks": sweep.peaks.tolist(),
                "losses": sweep.losses.tolist(),
                "start": sweep.start,
                "steps": sweep.steps,
                "bounds": list(sweep.bounds()),
                "seconds": time.perf_counter() - started,
            }
        )
    return found


def medians(sweeps: list[dict[str, Any]]) -> tuple[float, float]:
    """base_lr and max_lr, each the median over the seeds."""
    base_lr, max_lr = np.median([sweep["bounds"] for sweep in sweeps], axis=0)
    return float(base_lr), float(max_lr)


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

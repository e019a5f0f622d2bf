"""The parts of the protocol: the sweeps, and the runs of each length."""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import numpy as np
import optax
from numpy.typing import NDArray

from clr_optax import lr_sweep
from lab.checkpoints import Trainings
from lab.saved import sweep_from_json, sweep_to_json
from lab.training import (
    Arm,
    Runs,
    State,
    Stretch,
    Training,
    schedule_free_weights,
    trained,
)
from lab.transformer.network import Network
from lab.transformer.protocol import (
    FREE_SWEPT,
    FREE_TUNED,
    Settings,
    free_arms,
    grid_arms,
    one_run_arms,
    planned_arms,
)
from lab.transformer.report import tuned_peak
from lab.transformer.text import Text, Tokens, loader, windows

SAVE_EVERY = 10  # stretches; a checkpoint holds the states of all runs of a stage


class Stage(NamedTuple):
    """Runs that are trained and scored alike: every arm on every seed.

    `reads` are the lengths, in steps, at which they are scored; the last is the end.
    """

    name: str
    reads: Sequence[int]
    arms: Mapping[str, Arm]
    seeds: int
    learned: Tokens
    scored: Tokens
    weights: Callable[[State], Any] = trained


def experiment(
    trainings: Trainings, settings: Settings, text: Text, found: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    """Yields what is new in the results; what is `found` is not done again."""
    network = Network(settings, text.vocabulary)
    swept = found.get("sweeps") or sweeps(network, text)
    bounds = medians(swept)
    rows = list(found.get("runs", []))
    yield {"sweeps": swept, "base_lr": bounds[0], "peak": bounds[1], "runs": rows}
    for stage in stages(settings, text, bounds, rows):
        rows += new_rows(stage, network, trainings, rows)
        yield {"runs": rows}
    yield {"finished": True}


def stages(
    settings: Settings,
    text: Text,
    bounds: tuple[float, float],
    rows: list[dict[str, Any]],
) -> Iterator[Stage]:
    """The protocol's stages in their order; peaks are tuned by the rows so far."""
    choice = 1, text.first, text.second
    final = settings.seeds, text.learned, text.held_out
    for length in settings.lengths:
        yield Stage("grid", [length], grid_arms(settings.grid, length), *choice)
        tuned = tuned_peak(rows, "grid", length)
        arms = planned_arms(bounds, tuned, length, settings)
        yield Stage("final", [length], arms, *final)

    yield Stage("one run", settings.lengths, one_run_arms(bounds, settings), *final)
    longest, average = settings.lengths[-1], schedule_free_weights
    grid = free_arms({f"{peak:g}": peak for peak in settings.grid}, settings)
    yield Stage("free grid", [longest], grid, *choice, average)
    tuned = tuned_peak(rows, "free grid", longest)
    arms = free_arms({FREE_SWEPT: bounds[1], FREE_TUNED: tuned}, settings)
    yield Stage("free", settings.lengths, arms, *final, average)


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
        seconds = time.perf_counter() - started
        found.append(sweep_to_json(sweep) | {"seconds": seconds})
    return found


def medians(sweeps: list[dict[str, Any]]) -> tuple[float, float]:
    """base_lr and max_lr, each the median over the seeds."""
    bounds = [sweep_from_json(sweep).bounds() for sweep in sweeps]
    base_lr, max_lr = np.median(bounds, axis=0)
    return float(base_lr), float(max_lr)


def new_rows(
    stage: Stage, network: Network, trainings: Trainings, rows: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """The rows of a stage's runs, seed by seed, if they are not among `rows`.

    A row is what a run is when it is read: the mean loss in scoring, the losses in
    training up to there as means of `every` steps.
    """
    every, end = network.settings.every, stage.reads[-1]
    name = f"{stage.name} of {end} steps"
    if any((r["stage"], r["length"]) == (stage.name, end) for r in rows):
        trainings.progress.skip(len(stage.arms) * stage.seeds * (end // every))
        return []
    training = of_stage(stage, network)
    told = partial(progress, stage, every)
    kept = math.gcd(*stage.reads) // every
    saves = math.gcd(SAVE_EVERY, kept)
    runs = trainings.train(name, training, told, save_every=saves, keep_every=kept)
    earlier = [length // every for length in stage.reads[:-1]]
    reads = [*trainings.at(name, training, earlier), runs]
    scored = windows(stage.scored, network.settings.context)
    return [
        row
        for length, at in zip(stage.reads, reads, strict=True)
        for row in read(stage, length, at, training.score(network.bits, at, scored))
    ]


def read(
    stage: Stage, length: int, runs: Runs, bits: NDArray[np.float32]
) -> Iterator[dict[str, Any]]:
    """A row for each run, seed by seed."""
    for seed in range(stage.seeds):
        for number, (name, arm) in enumerate(stage.arms.items()):
            run = number * stage.seeds + seed
            yield {
                "stage": stage.name,
                "length": length,
                "arm": name,
                "role": arm.role,
                "seed": seed,
                "bits": float(bits[run]),
                "losses": [float(part.mean()) for part in runs.figures[run]],
            }


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

    return Training(
        network.task,
        stage.arms,
        stage.seeds,
        (),
        batches,
        stage.reads[-1] // settings.every,
        stage.weights,
    )


def progress(stage: Stage, every: int, stretch: Stretch) -> str:
    """How far the runs of a stage are."""
    figures = stretch.runs.figures
    return (
        f"step {stretch.runs.done * every}/{stage.reads[-1]} of {len(figures)} runs, "
        f"{stretch.seconds:.1f} s, mean loss {figures[:, -1].mean():.3f} bits"
    )

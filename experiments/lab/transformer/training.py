"""Runs of several arms, one on each device at a time."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import AxisType, PartitionSpec
from numpy.typing import NDArray

from lab.transformer.network import Network
from lab.transformer.protocol import Arm
from lab.transformer.text import Tokens, loader, windows

Rows = list[dict[str, Any]]
Floats = NDArray[np.float32]

CHUNK = 60  # steps between two looks at Ctrl-C, a second or two


class Run(NamedTuple):
    """Where a run is; the arm is its number."""

    arm: jax.Array
    key: jax.Array
    params: Any
    rest: Any
    opt_state: Any


class Stage(NamedTuple):
    """Runs that are trained and scored alike: every arm on every seed.

    Runs of equal seed start from the same weights, see the same batches and drop alike.
    """

    name: str
    length: int
    arms: Mapping[str, Arm]
    seeds: int
    learned: Tokens
    scored: Tokens


def trained(stage: Stage, network: Network, rows: Rows) -> Iterator[Rows]:
    """Yields the stage's rows that are not among `rows`, as soon as some are done.

    A row is a run's figures: the mean loss in scoring, the losses in training as means
    of `every` steps.
    """
    every = network.settings.every
    name, length, arms, seeds, *_ = stage
    known = {(row["stage"], row["length"], row["arm"], row["seed"]) for row in rows}
    wanted = [(arm, seed) for seed in range(seeds) for arm in arms]
    wanted = [run for run in wanted if (name, length, *run) not in known]
    for runs, losses, bits in _rounds(stage, network, wanted) if wanted else ():
        yield [
            {
                "stage": name,
                "length": length,
                "arm": arm,
                "role": arms[arm].role,
                "seed": seed,
                "bits": float(bits[i]),
                "losses": [
                    float(losses[i, k : k + every].mean())
                    for k in range(0, length, every)
                ],
            }
            for i, (arm, seed) in enumerate(runs)
        ]


def _rounds(
    stage: Stage, network: Network, wanted: list[tuple[str, int]]
) -> Iterator[tuple[list[tuple[str, int]], Floats, Floats]]:
    """Yields runs, as many at once as devices, their losses and their scores."""
    settings, count = network.settings, jax.device_count()
    names, arms = list(stage.arms), list(stage.arms.values())
    scored = windows(stage.scored, settings.context)
    begin = _on_each_device(partial(_begin, network, arms))
    advance = _on_each_device(partial(_advance, network, arms))
    score = _on_each_device(partial(_score, network, scored))

    @cache
    def batches(seed: int) -> Tokens:
        found = loader(stage.learned, settings.context, settings.batch_size, seed)
        return np.stack([found[i] for i in range(stage.length)])

    for first in range(0, len(wanted), count):
        runs = wanted[first : first + count]
        filled = (runs * count)[:count]
        data = np.stack([batches(seed) for _, seed in filled])
        state = begin(
            np.array([names.index(arm) for arm, _ in filled], np.int32),
            np.array([seed for _, seed in filled], np.int32),
        )
        losses = []
        for step in range(0, stage.length, CHUNK):
            state, some = advance(state, data[:, step : step + CHUNK])
            losses.append(_awaited(some))
        yield runs, np.concatenate(losses, axis=1), _awaited(score(state))


def _on_each_device(of_one_run: Callable[..., Any]) -> Callable[..., Any]:
    """A function of one run as a compiled function of one run on each device."""
    mesh = jax.make_mesh((jax.device_count(),), ("runs",), axis_types=(AxisType.Auto,))
    runs = PartitionSpec("runs")

    def local(*arguments: Any) -> Any:
        return jax.lax.map(lambda run: of_one_run(*run), arguments)

    return jax.jit(
        jax.shard_map(local, mesh=mesh, in_specs=runs, out_specs=runs, check_vma=False)
    )


def _begin(
    network: Network,
    arms: Sequence[Arm],
    number: jax.Array,
    seed: jax.Array,
) -> Run:
    """A run before its first step."""
    key = jax.random.key(seed)
    params, rest = network.start(key)
    opt_state = _optimizer(arms, number).init(params)
    return Run(number, key, params, rest, opt_state)


def _advance(
    network: Network,
    arms: Sequence[Arm],
    run: Run,
    batches: jax.Array,
) -> tuple[Run, jax.Array]:
    """A run after a step for each batch, and their losses."""

    optimizer = _optimizer(arms, run.arm)

    def step(run: Run, batch: jax.Array) -> tuple[Run, jax.Array]:
        key, dropout_key = jax.random.split(run.key)
        (loss, rest), gradients = jax.value_and_grad(network.loss_fn, has_aux=True)(
            run.params, run.rest, batch, dropout_key
        )
        updates, opt_state = optimizer.update(gradients, run.opt_state, run.params)
        params = optax.apply_updates(run.params, updates)
        return Run(run.arm, key, params, rest, opt_state), loss

    after: tuple[Run, jax.Array] = jax.lax.scan(step, run, batches)
    return after


def _optimizer(arms: Sequence[Arm], number: jax.Array) -> optax.GradientTransformation:
    """AdamW with the rate and the b1 of one of the arms."""

    def rate(count: jax.Array) -> Any:
        return jax.lax.switch(number, [arm.schedule for arm in arms], count)

    def b1(count: jax.Array) -> Any:
        return jax.lax.switch(number, [arm.b1 for arm in arms], count)

    return optax.inject_hyperparams(optax.adamw)(learning_rate=rate, b1=b1)


def _score(
    network: Network, windows: tuple[Tokens, NDArray[np.bool_]], run: Run
) -> jax.Array:
    """The mean loss over all places that count."""

    def sum_of(window: tuple[jax.Array, jax.Array]) -> jax.Array:
        tokens, counted = window
        losses = network.score(run.params, run.rest, tokens[None])[0]
        return jnp.where(counted, losses, 0).sum()

    sums = jax.lax.map(sum_of, windows, batch_size=64)
    mean: jax.Array = sums.sum() / windows[1].sum()
    return mean


def _awaited(array: Any) -> Floats:
    """The array's values; not by block_until_ready, which delays Ctrl-C."""
    while not array.is_ready():
        time.sleep(0.01)
    return np.asarray(array)

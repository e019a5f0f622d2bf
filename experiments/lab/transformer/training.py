"""Runs of several arms, one on each device at a time."""

from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import AxisType, PartitionSpec
from numpy.typing import NDArray

from lab.devices import awaited
from lab.transformer.network import Network
from lab.transformer.protocol import Arm
from lab.transformer.text import Tokens, loader, windows

Rows = list[dict[str, Any]]
Floats = NDArray[np.float32]


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


class Run(NamedTuple):
    """Where a run is."""

    key: jax.Array
    params: Any
    rest: Any
    opt_state: Any


def trained(stage: Stage, network: Network, rows: Rows) -> Iterator[Rows]:
    """Yields the stage's rows that are not among `rows`, as soon as some are done.

    A row is a run's figures: the mean loss in scoring, the losses in training as means
    of `every` steps.
    """
    name, length, arms = stage.name, stage.length, stage.arms
    every = network.settings.every
    known = {(row["stage"], row["length"], row["arm"], row["seed"]) for row in rows}
    runs = [(arm, seed) for seed in range(stage.seeds) for arm in arms]
    wanted = [run for run in runs if (name, length, *run) not in known]
    for some, losses, bits in _rounds(stage, network, wanted):
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
            for i, (arm, seed) in enumerate(some)
        ]


def _rounds(
    stage: Stage, network: Network, wanted: list[tuple[str, int]]
) -> Iterator[tuple[list[tuple[str, int]], Floats, Floats]]:
    """Yields runs, as many at once as devices, their losses and their scores."""
    settings, count = network.settings, jax.device_count()
    scored = windows(stage.scored, settings.context)
    begin, advance, score = _programs(network)
    chunk = 3 * settings.every  # a second or two, which Ctrl-C waits for

    @cache
    def batches(seed: int) -> Tokens:
        found = loader(stage.learned, settings.context, settings.batch_size, seed)
        return np.stack([found[i] for i in range(stage.length)])

    for first in range(0, len(wanted), count):
        some = wanted[first : first + count]
        filled = (some * count)[:count]
        rates = [_numbers(stage.arms[arm].schedule, stage.length) for arm, _ in filled]
        b1s = [_numbers(stage.arms[arm].b1, stage.length) for arm, _ in filled]
        data = [batches(seed) for _, seed in filled]
        steps = [np.stack(values) for values in (data, rates, b1s)]
        run = begin((np.array([seed for _, seed in filled], np.int32),), ())
        losses = []
        for step in range(0, stage.length, chunk):
            part = [values[:, step : step + chunk] for values in steps]
            run, new = advance((run, *part), ())
            losses.append(awaited(new))
        bits = awaited(score((run,), scored))
        yield some, np.concatenate(losses, axis=1), bits


@cache
def _programs(network: Network) -> list[Callable[..., Any]]:
    """What begins, advances and scores a run on each device."""
    mesh = jax.make_mesh((jax.device_count(),), ("runs",), axis_types=(AxisType.Auto,))
    each, whole = PartitionSpec("runs"), PartitionSpec()

    def on_each_device(of_one_run: Callable[..., Any]) -> Callable[..., Any]:
        def local(runs: Any, shared: Any) -> Any:
            return jax.lax.map(lambda run: of_one_run(*run, *shared), runs)

        return jax.jit(
            jax.shard_map(
                local,
                mesh=mesh,
                in_specs=(each, whole),
                out_specs=each,
                check_vma=False,
            )
        )

    return [on_each_device(partial(f, network)) for f in (_begin, _advance, _score)]


def _begin(network: Network, seed: jax.Array) -> Run:
    """A run before its first step."""
    key = jax.random.key(seed)
    params, rest = network.start(key)
    return Run(key, params, rest, optax.adamw(0.0).init(params))


def _advance(
    network: Network, run: Run, batches: jax.Array, rates: jax.Array, b1s: jax.Array
) -> tuple[Run, jax.Array]:
    """A run after a step for each batch, and their losses."""

    def step(run: Run, x: tuple[jax.Array, ...]) -> tuple[Run, jax.Array]:
        batch, rate, b1 = x
        key, dropout_key = jax.random.split(run.key)
        (loss, rest), gradients = jax.value_and_grad(network.loss_fn, has_aux=True)(
            run.params, run.rest, batch, dropout_key
        )
        # what inject_hyperparams does with schedules; so, one program serves all arms
        optimizer = optax.adamw(rate, b1)
        updates, opt_state = optimizer.update(gradients, run.opt_state, run.params)
        params = optax.apply_updates(run.params, updates)
        return Run(key, params, rest, opt_state), loss

    after: tuple[Run, jax.Array] = jax.lax.scan(step, run, (batches, rates, b1s))
    return after


def _score(
    network: Network, run: Run, tokens: jax.Array, counted: jax.Array
) -> jax.Array:
    """The mean loss over all places that count."""

    def total(window: tuple[jax.Array, jax.Array]) -> jax.Array:
        losses = network.score(run.params, run.rest, window[0][None])[0]
        return jnp.where(window[1], losses, 0).sum()

    totals = jax.lax.map(total, (tokens, counted), batch_size=64)
    mean: jax.Array = totals.sum() / counted.sum()
    return mean


def _numbers(schedule: optax.Schedule, length: int) -> Floats:
    """A schedule's value at each step."""
    values = np.asarray(schedule(np.arange(length)), np.float32)
    return np.broadcast_to(values, length)

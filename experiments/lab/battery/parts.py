"""The measurements of a cell: trainings at every peak of a grid, and the finders.

On a CPU cells are measured side by side, a process on each core: two programs of a
small network, and what compiles them, take less time so than one on two cores.
"""

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from functools import cache, partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from numpy.typing import NDArray

from clr_core import clr
from clr_optax import lr_range_test, lr_sweep
from lab import LabError
from lab.battery.further import further_tasks
from lab.battery.protocol import GOOD, OPTIMIZERS, Cell, Settings, regrets_of
from lab.battery.tasks import Pixels, Task, images_of, tasks
from lab.data import load
from lab.saved import digits, sweep_to_json
from lab.transformer.text import read_text

Floats = NDArray[np.float32]


def measure(
    settings: Settings, data_dir: Path | None, cells: Sequence[Cell]
) -> Iterator[dict[str, Any]]:
    """Yields all that the report needs of a cell as soon as it is measured."""
    work = partial(measured, settings, data_dir)
    if jax.default_backend() != "cpu" or not hasattr(os, "sched_getaffinity"):
        yield from map(work, cells)
        return
    cores = sorted(os.sched_getaffinity(0))
    spawn = multiprocessing.get_context("spawn")
    begin = partial(_take_a_core, spawn.Value("i", 0), cores)
    pool = ProcessPoolExecutor(len(cores), spawn, begin)
    try:
        for done in as_completed([pool.submit(work, cell) for cell in cells]):
            yield done.result()
    except BrokenProcessPool as error:
        raise LabError(
            "a process that measured was killed, for want of memory perhaps: what is "
            "finished is kept; --resume goes on"
        ) from error
    finally:
        for child in multiprocessing.active_children():
            child.terminate()
        pool.shutdown(cancel_futures=True)  # waits for them to be gone


def _take_a_core(turn: Any, cores: list[int]) -> None:
    """Begins a process: it has a core of its own, and leaves Ctrl-C to its parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with turn.get_lock():
        number, turn.value = turn.value, turn.value + 1
    os.sched_setaffinity(0, {cores[number % len(cores)]})


def measured(settings: Settings, data_dir: Path | None, cell: Cell) -> dict[str, Any]:
    """All that the report needs of a cell, as JSON."""
    started = time.perf_counter()
    task = made_task(cell.task, data_dir)
    optimizer = OPTIMIZERS[cell.optimizer].make
    train = grid_of_cycles(task, optimizer, settings.cycle)
    seeds, first = range(settings.seeds), range(1)

    lowest = OPTIMIZERS[cell.optimizer].lowest
    peaks = [2.0 ** (lowest + k) for k in range(settings.peaks)]
    before, after = train(peaks, seeds)
    while len(peaks) < 2 * settings.peaks:
        edge = _good_edge(before, after)
        if edge is None:
            break
        more = [peaks[edge] * 2.0 ** (k if edge else -k) for k in (1, 2, 3)]
        after = np.concatenate([after, train(more, seeds)[1]])
        order = np.argsort(peaks + more)
        peaks, after = sorted(peaks + more), after[order]
    best = peaks[int(after.mean(axis=1).argmin())]

    def loss_fn(params: Any, _: None, key: jax.Array) -> jax.Array:
        return task.loss(params, key)

    keys = jax.vmap(jax.random.key)(jnp.arange(settings.seeds))
    around = [best * 2.0**k for k in (-2, -1, 0, 1, 2)]
    _, cosine = train(around, first, cosine=True)
    ratios = np.stack([train([best], first, ratio=r)[1][0] for r in settings.ratios])
    return {
        "task": cell.task,
        "optimizer": cell.optimizer,
        "part": cell.part,
        "untrained": before[0].tolist(),
        "peaks": peaks,
        "ends": after.tolist(),
        "cosine": {"peaks": around, "ends": cosine[:, 0].tolist()},
        "ratios": ratios[:, 0].tolist(),
        "tests": {
            f"{steps}": range_tests(loss_fn, task, optimizer, steps, keys)
            for steps in settings.test_steps
        },
        "sweeps": sweeps(loss_fn, task, optimizer, keys),
        "seconds": time.perf_counter() - started,
    }


@cache
def made_task(name: str, data_dir: Path | None) -> Task:
    """A task of that name."""
    given = *_images(data_dir), read_text()
    return (tasks(*given) | further_tasks(*given))[name]()


@cache
def _images(data_dir: Path | None) -> tuple[Pixels, Pixels]:
    """The images of training and those held out, read once for all tasks."""
    data = load(data_dir)
    return images_of(data.train), images_of(data.test)


def grid_of_cycles(
    task: Task, optimizer: Callable[..., Any], steps: int
) -> Callable[..., tuple[Floats, Floats]]:
    """A function from peaks and seeds to the losses held out before and after.

    It trains a cycle for each, one after the other by one compiled program. A loss that
    is not finite, or above that before training, counts as that.
    """

    @jax.jit
    def trained(peak: Any, ratio: Any, cosine: Any, seed: Any) -> Any:
        key = jax.random.key(seed)
        params = task.init(key)

        def rate(count: jax.Array) -> jax.Array:
            decay = optax.cosine_decay_schedule(1.0, steps)(count)
            cycle = clr(count, peak / ratio, peak, steps // 2)
            return jnp.where(cosine, peak * decay, cycle)

        transformation = optimizer(rate)

        def step(carry: Any, i: jax.Array) -> tuple[Any, None]:
            params, opt_state = carry
            grads = jax.grad(task.loss)(params, jax.random.fold_in(key, i))
            updates, opt_state = transformation.update(grads, opt_state, params)
            return (optax.apply_updates(params, updates), opt_state), None

        before, carry = task.held_out(params), (params, transformation.init(params))
        (params, _), _ = jax.lax.scan(step, carry, jnp.arange(steps))
        after = task.held_out(params)
        return before, jnp.where(after < before, after, before)  # NaN is not below

    def train(
        peaks: Sequence[float],
        seeds: Sequence[int],
        *,
        ratio: float = 10.0,
        cosine: bool = False,
    ) -> tuple[Floats, Floats]:
        ends = [
            [trained(np.float32(peak), ratio, cosine, seed) for seed in seeds]
            for peak in peaks
        ]
        before, after = np.moveaxis(np.array(ends, np.float32), -1, 0)
        return before, after

    return train


def range_tests(
    loss_fn: Callable[..., Any], task: Task, optimizer: Any, steps: int, keys: jax.Array
) -> dict[str, Any]:
    """The curves of the library's range test, one of each key."""
    test = lr_range_test(
        loss_fn, task.init, None, num_steps=steps, optimizer=optimizer, key=keys
    )
    return {"lrs": digits(test.lrs), "losses": list(map(digits, test.losses))}


def sweeps(
    loss_fn: Callable[..., Any], task: Task, optimizer: Any, keys: jax.Array
) -> list[dict[str, Any]]:
    """What the library's sweep finds, once with each key."""
    sweeps = [
        lr_sweep(loss_fn, task.init, None, optimizer=optimizer, key=key) for key in keys
    ]
    return list(map(sweep_to_json, sweeps))


def _good_edge(before: Floats, after: Floats) -> int | None:
    """The index of a peak at the edge, 0 or -1, that is as good as the best."""
    found = regrets_of(float(before.mean()), after.mean(axis=1, dtype=float))
    return next((edge for edge in (0, -1) if found[edge] <= GOOD), None)

"""The costs of the schedule alone, beside its peers'."""

import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from numpy.typing import NDArray

from clr_core import clr
from clr_optax import clr_schedule
from lab.benchmark.timing import paired, peer_job, repeat, row

Floats = NDArray[np.floating[Any]]
SCHEDULE = clr_schedule(1e-4, 1e-2, 1874, mode="triangular2")
COSINE = clr_schedule(1e-4, 1e-2, 1874, mode="triangular2", anneal="cosine")


def schedule_costs(count: int, peer_python: str) -> list[dict[str, Any]]:
    """The schedule alone: one call, in bulk, within a compiled loop, compiling."""
    sizes = count, count // 5
    tfa = peer_job("tfa", peer_python, sizes=sizes)
    rows = eager_costs({"tfa": tfa["eager"]} if tfa else {})
    for k, size in enumerate(sizes):
        rows += bulk_costs(size, {"tfa": tfa["bulk"][k]} if tfa else {})
    return [*rows, *scan_costs(updates=1_000_000), *compile_costs()]


def eager_costs(peers: dict[str, list[float]]) -> list[dict[str, Any]]:
    """One call with a Python step: ours, and beside ours."""

    def times(schedule: optax.Schedule) -> list[float]:
        return repeat(lambda: schedule(1000).block_until_ready(), 2000)

    ours = times(SCHEDULE)
    others = {
        'anneal="cosine"': times(COSINE),
        "Optax cosine": times(optax.cosine_decay_schedule(0.01, 10_000)),
        "Optax one-cycle": times(optax.linear_onecycle_schedule(10_000, 0.01)),
        **peers,
    }
    return [
        row("one eager call", ours, "us", 1e6),
        *(
            row(f"one eager call, {name}", seconds, "us", 1e6, beside=("ours", ours))
            for name, seconds in others.items()
        ),
    ]


def bulk_costs(size: int, peers: dict[str, list[float]]) -> list[dict[str, Any]]:
    """So many steps in one call: ours, beside writing the array, and beside peers."""
    steps = jnp.arange(size)
    fill = jax.jit(lambda value: jnp.full(size, value, jnp.float32))
    written, ours = paired(
        lambda: fill(0.5).block_until_ready(),
        lambda: SCHEDULE(steps).block_until_ready(),
        15,
    )
    cosine = repeat(lambda: COSINE(steps).block_until_ready(), 15)
    numpy_steps = np.arange(size, dtype=np.float32)
    with np.errstate(over="ignore"):  # 2**cycle in float32
        textbook = repeat(lambda: textbook_line(numpy_steps), 5)
    others = {'anneal="cosine"': cosine, "NumPy": textbook, **peers}
    what, per_step = f"a step of {size:,}", 1e9 / size
    return [
        row(f"{what}, writing the array", written, "ns", per_step),
        row(what, ours, "ns", per_step, beside=("writing", written)),
        *(
            row(f"{what}, {name}", seconds, "ns", per_step, beside=("ours", ours))
            for name, seconds in others.items()
        ),
    ]


def scan_costs(updates: int) -> list[dict[str, Any]]:
    """What a step costs in a compiled loop, more than a constant rate."""
    constant, ours = paired(
        loop(optax.constant_schedule(0.01), updates), loop(SCHEDULE, updates), 7
    )
    extra = [b - a for a, b in zip(constant, ours, strict=True)]
    return [row("a step in a scan, beyond a constant", extra, "ns", 1e9 / updates)]


def compile_costs() -> list[dict[str, Any]]:
    """Compiling the schedule, each time for another shape."""

    def compile_once(size: int) -> float:
        started = time.perf_counter()
        traced = jax.jit(lambda s: clr(s, 1e-4, 1e-2, 1874)).lower(jnp.arange(size))
        traced.compile()
        return time.perf_counter() - started

    seconds = [compile_once(size) for size in range(3, 13)]
    return [row("compiling the schedule", seconds, "ms", 1e3)]


def loop(schedule: optax.Schedule, updates: int) -> Any:
    """A compiled scan of tiny updates at the schedule's rate."""

    @jax.jit
    def run(param: jax.Array) -> jax.Array:
        def step(carry: Any, _: None) -> tuple[Any, None]:
            value, count = carry
            return (value - schedule(count) * value, count + 1), None

        return jax.lax.scan(step, (param, jnp.int32(0)), length=updates)[0][0]

    return lambda: run(jnp.float32(1)).block_until_ready()


def textbook_line(step: Floats) -> Floats:
    """The paper's formula as everyone writes it."""
    cycle = np.floor(1 + step / (2 * 1874))
    x = np.abs(step / 1874 - 2 * cycle + 1)
    rate: Floats = 1e-4 + (1e-2 - 1e-4) * np.maximum(0, 1 - x) / 2 ** (cycle - 1)
    return rate

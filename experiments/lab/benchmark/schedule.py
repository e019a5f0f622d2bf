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


def schedule_costs(count: int, peer_python: str) -> list[dict[str, Any]]:
    """The schedule alone: one call, in bulk, within a compiled loop, compiling."""
    rows = []
    cosine = optax.cosine_decay_schedule(0.01, 10_000)
    onecycle = optax.linear_onecycle_schedule(10_000, 0.01)
    sizes = count, count // 5
    tfa = peer_job("tfa", peer_python, sizes=sizes)

    def eager(schedule: optax.Schedule) -> list[float]:
        return repeat(lambda: schedule(1000).block_until_ready(), 2000)

    ours = eager(SCHEDULE)
    rows.append(row("one eager call", ours, "us", 1e6))
    peers = {"Optax cosine": eager(cosine), "Optax one-cycle": eager(onecycle)}
    if tfa:
        peers["tfa"] = tfa["eager"]
    for name, seconds in peers.items():
        rows.append(row(f"one eager call, {name}", seconds, "us", 1e6, beside=ours))
    for k, size in enumerate(sizes):
        rows += bulk_costs(size, {"tfa": tfa["bulk"][k]} if tfa else {})

    updates = 1_000_000
    constant, ours = paired(
        loop(optax.constant_schedule(0.01), updates), loop(SCHEDULE, updates), 7
    )
    extra = [b - a for a, b in zip(constant, ours, strict=True)]
    rows.append(
        row("in a scan, a step more than a constant", extra, "ns", 1e9 / updates)
    )

    def compile_once(size: int) -> float:
        started = time.perf_counter()
        traced = jax.jit(lambda s: clr(s, 1e-4, 1e-2, 1874)).lower(jnp.arange(size))
        traced.compile()
        return time.perf_counter() - started

    compiling = [compile_once(size) for size in range(3, 13)]
    rows.append(row("compiling", compiling, "ms", 1e3))
    return rows


def bulk_costs(size: int, peers: dict[str, list[float]]) -> list[dict[str, Any]]:
    """So many steps in one call: ours, beside writing the array, and beside peers."""
    steps = jnp.arange(size)
    fill = jax.jit(lambda value: jnp.full(size, value, jnp.float32))
    written, ours = paired(
        lambda: fill(0.5).block_until_ready(),
        lambda: SCHEDULE(steps).block_until_ready(),
        15,
    )
    numpy_steps = np.arange(size, dtype=np.float32)
    with np.errstate(over="ignore"):  # 2**cycle in float32
        textbook = repeat(lambda: textbook_line(numpy_steps), 5)
    what, per_step = f"a step, in bulk of {size:,}", 1e9 / size
    return [
        row(f"{what}: writing the array", written, "ns", per_step),
        row(what, ours, "ns", per_step, beside=written),
        *(
            row(f"{what}, {name}", seconds, "ns", per_step, beside=ours)
            for name, seconds in {"NumPy": textbook, **peers}.items()
        ),
    ]


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

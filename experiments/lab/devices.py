"""Where a program runs: cores, accelerators, other machines, by JAX's own runtime."""

import contextlib
import os
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh
from numpy.typing import NDArray

from lab import LabError

# a process that dies ends the others after this long at the latest
HEARTBEAT_SECONDS = 20


def use_cpu_cores(runs: int) -> None:
    """Makes a JAX device of each CPU core, up to `runs`, if nobody chose a number.

    Independent runs, a core each, take less time than one after the other on all cores.
    Has to come before JAX's first use; changes nothing on GPU and TPU.
    """
    chosen = jax.config.jax_num_cpu_devices >= 0
    if not chosen and "device_count" not in os.environ.get("XLA_FLAGS", ""):
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
        # JAX refuses once it has been used, in a notebook's second run for instance
        with contextlib.suppress(RuntimeError):
            jax.config.update("jax_num_cpu_devices", min(cores, runs))


def connect(coordinator: str, processes: int | None, process: int | None) -> None:
    """Joins the other processes; "auto" is JAX's own detection of a cluster.

    Raises:
        LabError: No cluster was found, or not all processes came.
    """
    try:
        jax.distributed.initialize(
            coordinator_address=None if coordinator == "auto" else coordinator,
            num_processes=processes,
            process_id=process,
            initialization_timeout=60,
            heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
        )
    except (RuntimeError, ValueError) as error:
        if coordinator == "auto" and isinstance(error, ValueError):
            raise LabError(
                f"--coordinator auto found no cluster ({error}): give HOST:PORT, "
                "--num-processes and --process-id"
            ) from error
        raise LabError(f"the processes could not be joined: {error}") from error


def make_mesh(runs: int, shared: bool) -> Mesh:
    """All devices, with an axis over the runs and one over what runs share.

    If they can share the data, there are as many devices along the runs as leave at
    most a third of the places to runs that come twice; the rest share each run's
    batches, which costs more than such runs do.
    """
    devices = across = jax.device_count()
    if shared:
        divisors = [n for n in range(1, devices + 1) if devices % n == 0]
        across = max(n for n in divisors if -runs % n <= runs / 2)
    return jax.make_mesh(
        (across, devices // across),
        ("runs", "data"),
        axis_types=(AxisType.Auto, AxisType.Auto),
    )


def each_run(one_run: Callable[..., Any], args: Any) -> Any:
    """What a function says of each run on a device.

    One run keeps a CPU's core busy, and a batch of runs takes 1.7 times as long as one
    after the other. A GPU or TPU is hardly used by one.
    """
    if jax.default_backend() == "cpu":
        return jax.lax.map(lambda own: one_run(*own), args)
    return jax.vmap(one_run)(*args)


def images_at_once(batch_size: int) -> int:
    """How many images go through a network at a time.

    What 32 images need fits a CPU's cache: a batch of 64 takes 0.6 times as long in two
    halves. A GPU or TPU is hardly used by as few.
    """
    return 32 if jax.default_backend() == "cpu" else max(batch_size, 1000)


def awaited(array: jax.Array) -> NDArray[np.float32]:
    """The array's values; not by block_until_ready, which delays Ctrl-C."""
    while not array.is_ready():
        time.sleep(0.01)
    return np.asarray(array)

"""One program on many devices and many machines, by JAX's own runtime."""

import contextlib
import os
from pathlib import Path

import dataset
import jax
import numpy as np
from jax.experimental import multihost_utils

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
      RuntimeError: no cluster was found, or not all processes came.
    """
    told = {} if coordinator == "auto" else {"coordinator_address": coordinator}
    jax.distributed.initialize(
        **told,
        num_processes=processes,
        process_id=process,
        initialization_timeout=60,
        heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
    )


def load(data_dir: Path | None) -> dataset.FashionMNIST:
    """The data set; each process reads its part and gets the others' from them."""
    index, count = jax.process_index(), jax.process_count()
    data = dataset.load(data_dir, shard=(index, count))
    return data._replace(
        **{
            name: _joined(part)
            for name, part in data._asdict().items()
            if count > 1 and isinstance(part, np.ndarray)
        }
    )


def _joined(part: np.ndarray) -> np.ndarray:
    """All processes' parts in one array; the parts' lengths may differ."""
    lengths = multihost_utils.process_allgather(np.array(len(part)))
    longest = int(lengths.max())
    padding = [(0, longest - len(part))] + [(0, 0)] * (part.ndim - 1)
    parts = multihost_utils.process_allgather(np.pad(part, padding))
    return np.concatenate([p[:n] for p, n in zip(parts, lengths, strict=True)])

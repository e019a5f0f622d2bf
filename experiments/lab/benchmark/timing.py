"""Timing calls, in this process and in others, and what becomes of the times."""

import json
import os
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lab import LabError

EXPERIMENTS = Path(__file__).parents[2]


def repeat(call: Callable[[], Any], times: int) -> list[float]:
    """The seconds of each of some calls, after one that is not counted."""
    call()
    seconds = []
    for _ in range(times):
        started = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - started)
    return seconds


def paired(
    first: Callable[[], Any], second: Callable[[], Any], times: int
) -> tuple[list[float], list[float]]:
    """The seconds of two calls that take turns."""
    pairs = [(repeat(first, 1)[0], repeat(second, 1)[0]) for _ in range(times)]
    return [a for a, _ in pairs], [b for _, b in pairs]


def job(name: str, python: str, **options: Any) -> dict[str, Any]:
    """What a job measured in a process of its own; a LabError if it failed."""
    command = [python, "-m", "lab.benchmark.jobs", name, json.dumps(options)]
    paths = [str(EXPERIMENTS), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    env = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
    # an installed package has its bytecode; without it an import would compile
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    if done.returncode:
        exit_code = [f"exit code {done.returncode}"]
        complaint = (done.stderr.strip().splitlines() or exit_code)[-1]
        raise LabError(f"the job {name} failed: {complaint}")
    measured: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return measured


def peer_job(name: str, python: str, **options: Any) -> dict[str, Any] | None:
    """The same of a peer; None, and a line that says why, where it does not run."""
    try:
        return job(name, python, **options)
    except LabError as error:
        print(f"skipped: {error}")
        return None


def row(
    what: str,
    seconds: list[float],
    unit: str = "s",
    scale: float = 1,
    beside: tuple[str, list[float]] | None = None,
) -> dict[str, Any]:
    """A line of the table; `beside` names what its median is divided by."""
    ratio = to = None
    if beside:
        to = beside[0]
        ratio = statistics.median(seconds) / statistics.median(beside[1])
    values = [t * scale for t in seconds]
    return {"what": what, "unit": unit, "values": values, "ratio": ratio, "to": to}

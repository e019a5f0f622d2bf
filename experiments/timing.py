"""Timing calls, in this process and in others, and lines of a table of times."""

import json
import os
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

JOBS = Path(__file__).with_name("benchmark_jobs.py")


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


def job(name: str, python: str, **options: Any) -> Any:
    """What a job measured in a process of its own, or None where a peer is missing."""
    command = [python, str(JOBS), name, json.dumps(options)]
    # an installed package has its bytecode; without it an import would compile
    env = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
    if done.returncode == 0:
        return json.loads(done.stdout.splitlines()[-1])
    lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
    if "Error: No module named" not in lines[-1] and name != "tfa":
        raise RuntimeError(f"the job {name} failed: {lines[-1]}")
    print(f"skipped {name}: {lines[-1]}")
    return None


def row(
    what: str,
    seconds: list[float],
    unit: str = "s",
    scale: float = 1,
    beside: list[float] | None = None,
) -> dict[str, Any]:
    """A line of the table; `beside` gives the ratio of medians, this to that."""
    ratio = beside and statistics.median(seconds) / statistics.median(beside)
    values = [t * scale for t in seconds]
    return {"what": what, "unit": unit, "values": values, "ratio": ratio}


def formatted(line: dict[str, Any]) -> list[str]:
    """A line of the table as text."""
    values, unit = line["values"], line["unit"]
    spread = f"{min(values):.3g} to {max(values):.3g}"
    ratio = f"{line['ratio']:.3g} times" if line["ratio"] else ""
    return [line["what"], f"{statistics.median(values):.3g} {unit}", spread, ratio]

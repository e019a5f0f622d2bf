"""Timing calls."""

import time
from collections.abc import Callable
from typing import Any


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

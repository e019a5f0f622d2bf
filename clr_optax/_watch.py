"""Steps that are dispatched ahead of the device, and whether one says to stop."""

import time
from typing import Any

import jax

MOST_STEPS = 16
MOST_BYTES = 2**25
SECONDS = 0.02


class Watch:
    """Looks at the stops of steps, seldom enough to cost nothing.

    A look at a step that is under way makes the device and this process wait for each
    other, and that costs as much as a small step. So a look is taken at once where the
    device is idle, the batches being slow; and else after some 0.02 seconds of steps,
    at one that was made as long ago, while the device has the others to do. No more
    than 32 steps, or 64 MB of their batches, are ahead of the device.

    Processes that share a device must look at the same steps: they look at every step,
    after the next.

    Args:
        size: the bytes of a batch that each step holds, 0 where all hold the same.
    """

    def __init__(self, size: int):
        self._most = max(1, min(MOST_STEPS, MOST_BYTES // max(size, 1)))
        self._alone = jax.process_count() == 1
        self._ahead = 1
        self._stops: list[Any] = []
        self._since, self._steps = time.perf_counter(), 0

    def sees(self, stop: Any) -> bool:
        """Returns whether a stop is seen, after a step whose own is given."""
        if isinstance(stop, jax.core.Tracer):
            return False
        self._stops.append(stop)
        self._steps += 1
        if self._alone and stop.is_ready():
            last = len(self._stops)
        elif len(self._stops) >= 2 * self._ahead:
            last = self._ahead
        else:
            return False
        seen = bool(self._stops[last - 1])  # a stop stays one: it tells of all before
        del self._stops[:last]
        if self._alone:
            self._adapt()
        return seen

    def _adapt(self) -> None:
        """Sets how many steps to be ahead by how long the last ones took."""
        now = time.perf_counter()
        steps = SECONDS * self._steps / max(now - self._since, 1e-9)
        self._ahead = int(max(1, min(self._most, steps)))
        self._since, self._steps = now, 0

"""The curve of a range test, which reads and draws itself."""

from typing import Any, NamedTuple

from clr_core import suggest_bounds, suggest_lr


class RangeTest(NamedTuple):
    """The curve of a range test, a pytree; after its stop there is NaN."""

    lrs: Any
    losses: Any
    smoothed: Any = None
    num_finite: Any = None
    aux: Any = None

    def bounds(self) -> tuple[float, float]:
        base_lr, max_lr = suggest_bounds(self.lrs, self.losses)
        return float(base_lr), float(max_lr)

    def suggest(self, rule: str = "valley") -> float:
        return float(suggest_lr(self.lrs, self.losses, rule))

"""The protocol of transformer.py, fixed before its final figures were seen.

1. The text is pydoc_data.topics, its topics in alphabetical order. The last tenth is
   held out: no choice sees it. Choices are made on the rest: trained on its first
   eight ninths, scored on the last.
2. Sizes, initial weights, lengths and the grid were chosen so, with one or two seeds.
   There, more context or width gained nothing at these lengths, and dropout cost 0.04
   to 0.09 bits; it stays as a part of what users train.
3. lr_sweep with AdamW and its defaults on each seed, over the loader, each cycle scored
   on the same batches of what choices are scored on. Its bounds are taken as they are,
   the medians over the seeds.
4. The tuned peak of warm-up and cosine: the best of 0.001, 0.003 and 0.01 in runs of
   the final length, one seed, for each length anew. All other arms, the fixed rate
   too, take the sweep's max_lr. Tuning is counted in training steps.
5. The final runs train on all but the held-out tenth, five paired seeds (the same
   weights, batches and dropout for every arm), and every character of the held-out
   tenth but its first is scored once, in bits. No choice follows.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import optax

from clr_optax import clr_schedule, momentum_schedule
from lab.training import Arm, Role, warmup_cosine

ARMS = 5  # of the final runs, those of `final_arms`
BASELINE = "warm-up cosine, tuned"


@dataclass(frozen=True)
class Settings:
    """What the figures depend on."""

    lengths: tuple[int, ...] = (600, 1200, 2400)  # in steps
    seeds: int = 5
    batch_size: int = 16
    context: int = 32
    width: int = 144
    heads: int = 4
    blocks: int = 2
    dropout: float = 0.1
    cycle: int = 200  # steps of each cycle of a sweep
    held_out: int = 8  # batches on which a cycle of a sweep is scored
    grid: tuple[float, ...] = (0.001, 0.003, 0.01)
    every: int = 20  # steps of training whose losses become one figure

    @property
    def runs(self) -> int:
        """How many runs there are in all."""
        return len(self.lengths) * (len(self.grid) + ARMS * self.seeds)

    @property
    def stretches(self) -> int:
        """How many stretches of `every` steps all runs have together."""
        each = self.runs // len(self.lengths)
        return each * sum(self.lengths) // self.every


SHORT = Settings(
    lengths=(12, 24), seeds=2, context=16, width=32, blocks=1, cycle=20, every=4
)


def _update(
    gradients: Any, state: Any, params: Any, *, learning_rate: Any, b1: Any
) -> Any:
    return optax.adamw(learning_rate, b1).update(gradients, state, params)


# its rate and b1 are numbers that come with each step; so, one program serves all arms
ADAMW = optax.GradientTransformationExtraArgs(optax.adamw(0.0).init, _update)
USUAL_B1 = optax.constant_schedule(0.9)


def adamw(role: Role, rate: optax.Schedule, b1: optax.Schedule = USUAL_B1) -> Arm:
    """AdamW with its rate and b1 by step."""
    return Arm("AdamW", role, rate, ADAMW, {"learning_rate": rate, "b1": b1})


def final_arms(
    base_lr: float, peak: float, tuned: float, length: int
) -> dict[str, Arm]:
    """The arms of the final runs; the peak is the sweep's, tuned the grid's."""
    half, sixth = length // 2, length // 6
    cycles = clr_schedule(base_lr, peak, sixth, mode="triangular2")
    b1 = momentum_schedule(0.85, 0.95, half)
    return {
        BASELINE: adamw("baseline", warmup_cosine(tuned, length)),
        "warm-up cosine": adamw("peer", warmup_cosine(peak, length)),
        "fixed": adamw("fixed", optax.constant_schedule(peak)),
        "CLR triangular2": adamw("cyclical", cycles),
        "CLR one cycle, b1 too": adamw(
            "cyclical", clr_schedule(base_lr, peak, half), b1
        ),
    }


def grid_arms(grid: Iterable[float], length: int) -> dict[str, Arm]:
    """Warm-up and cosine with each peak of the grid."""
    return {f"{p:g}": adamw("baseline", warmup_cosine(p, length)) for p in grid}

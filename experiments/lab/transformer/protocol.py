"""The protocol of transformer.py, fixed before its final figures were seen.

1. The text is pydoc_data.topics, its topics in alphabetical order. The last tenth is
   held out: no choice sees it. Choices are made on the rest: trained on its first
   eight ninths, scored on the last.
2. Sizes, initial weights, lengths and the grid were chosen so, with one or two seeds.
   There, more context or width gained nothing at these lengths, and dropout cost 0.04
   to 0.09 bits; it stays as a part of what users train.
3. lr_sweep with AdamW and its defaults on each seed, over the loader, each cycle scored
   on the same batches of what choices are scored on. Its bounds are taken as they are,
   the medians over the seeds, by every arm that is not said to be tuned.
4. The tuned peak of warm-up and cosine: the best of a grid of five, in runs of the
   final length, one seed, for each length anew; that of Schedule-Free alike, in runs
   of the greatest length. Tuning is counted in training steps.
5. Arms that know the length: warm-up and cosine, CLR in one cycle with b1 against the
   rate, CLR in three cycles with halved heights, and warm-up, hold and cool-down (WSD),
   which warms up for a tenth of the least length and cools down in a straight line for
   the last fifth. A run of each for each length; of WSD one run would do, continued
   after each cool-down's start, which is what its steps are counted as.
6. Arms that do not: a fixed rate, CLR in cycles as long as the least length, and
   Schedule-Free AdamW, which warms up as WSD does, read at its averaged weights. One
   run of each, read at each length.
7. The final runs train on all but the held-out tenth, five paired seeds (the same
   weights, batches and dropout for every arm), and every character of the held-out
   tenth but its first is scored once for each length, in bits. No choice follows.

Hopes, answered on the page: at every length, the one run of CLR in cycles is within
0.03 bits of the tuned warm-up and cosine laid out for that length; and warm-up and
cosine with the sweep's peak is within 0.02 bits of it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial

import optax

from clr_optax import clr_schedule, momentum_schedule
from lab.training import Arm, Role, by_step, warmup_cosine

PLANNED, ONE_RUN, FREE = 5, 2, 2  # how many arms the functions below return
BASELINE = "warm-up cosine, tuned"
WSD = "warm-up, hold, cool-down"
CYCLES = "CLR in cycles"
FREE_SWEPT, FREE_TUNED = "Schedule-Free", "Schedule-Free, tuned"
HOPES = {CYCLES: 0.03, "warm-up cosine": 0.02}  # bits above the baseline
COOL_DOWN = 0.2  # of a run with WSD


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
    grid: tuple[float, ...] = (0.00075, 0.0015, 0.003, 0.006, 0.012)
    every: int = 20  # steps of training whose losses become one figure

    @property
    def runs(self) -> int:
        """How many runs there are in all; one read at every length counts once."""
        of_length, read = self._runs
        return len(self.lengths) * of_length + read

    @property
    def stretches(self) -> int:
        """How many stretches of `every` steps all runs have together."""
        of_length, read = self._runs
        steps = of_length * sum(self.lengths) + read * self.lengths[-1]
        return steps // self.every

    @property
    def _runs(self) -> tuple[int, int]:
        """How many runs each length has of its own, and how many are read at each."""
        grid = len(self.grid)
        return grid + PLANNED * self.seeds, grid + (ONE_RUN + FREE) * self.seeds


SHORT = Settings(
    lengths=(12, 24), seeds=2, context=16, width=32, blocks=1, cycle=20, every=4
)


ADAMW = by_step(optax.adamw)
SCHEDULE_FREE = by_step(  # with the decay of weights that optax.adamw has
    partial(optax.contrib.schedule_free_adamw, weight_decay=1e-4)
)
USUAL_B1 = optax.constant_schedule(0.9)


def adamw(
    role: Role, about: str, rate: optax.Schedule, b1: optax.Schedule = USUAL_B1
) -> Arm:
    """AdamW with its rate and b1 by step."""
    return Arm(about, role, rate, ADAMW, {"learning_rate": rate, "b1": b1})


def planned_arms(
    bounds: tuple[float, float], tuned: float, length: int, settings: Settings
) -> dict[str, Arm]:
    """The arms that know their length; the bounds are the sweep's, tuned the grid's."""
    base_lr, peak = bounds
    about = f"{base_lr:.4g} to {peak:.4g}, {length} steps"
    half, sixth = length // 2, length // 6
    three = clr_schedule(base_lr, peak, sixth, mode="triangular2")
    one, b1 = clr_schedule(base_lr, peak, half), momentum_schedule(0.85, 0.95, half)
    down = optax.linear_schedule(peak, 0.0, round(COOL_DOWN * length))
    hold = optax.join_schedules([warm_up(peak, settings), down], [cooling(length)])
    return {
        BASELINE: cosine_arm(tuned, length),
        "warm-up cosine": adamw("peer", about, warmup_cosine(peak, length)),
        WSD: adamw("peer", about, hold),
        "CLR one cycle, b1 too": adamw("cyclical", about, one, b1),
        "CLR triangular2": adamw("cyclical", about, three),
    }


def one_run_arms(bounds: tuple[float, float], settings: Settings) -> dict[str, Arm]:
    """The arms that are read at each length, with AdamW."""
    about = f"{bounds[0]:.4g} to {bounds[1]:.4g}"
    cycles = clr_schedule(*bounds, settings.lengths[0] // 2)
    return {
        "fixed": adamw("fixed", about, optax.constant_schedule(bounds[1])),
        CYCLES: adamw("cyclical", about, cycles),
    }


def free_arms(peaks: Mapping[str, float], settings: Settings) -> dict[str, Arm]:
    """Schedule-Free AdamW with each peak."""
    rates = {name: warm_up(peak, settings) for name, peak in peaks.items()}
    return {
        name: Arm(
            f"peak {peaks[name]:.4g}", "peer", r, SCHEDULE_FREE, {"learning_rate": r}
        )
        for name, r in rates.items()
    }


def grid_arms(grid: Iterable[float], length: int) -> dict[str, Arm]:
    """Warm-up and cosine with each peak of the grid."""
    return {f"{peak:g}": cosine_arm(peak, length) for peak in grid}


def cosine_arm(peak: float, length: int) -> Arm:
    """Warm-up and cosine with a peak of the grid."""
    about = f"peak {peak:.4g}, {length} steps"
    return adamw("baseline", about, warmup_cosine(peak, length))


def warm_up(peak: float, settings: Settings) -> optax.Schedule:
    """From 0 to the peak in a tenth of the least length, then on at the peak."""
    return optax.linear_schedule(0.0, peak, settings.lengths[0] // 10)


def cooling(length: int) -> int:
    """The step at which WSD begins to cool down."""
    return length - round(COOL_DOWN * length)

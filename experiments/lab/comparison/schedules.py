"""What is compared: dictionaries of schedules, the only difference between arms."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from clr_optax import clr_schedule
from lab.training import (
    Arm,
    Role,
    State,
    by_step,
    schedule_free_weights,
    trained,
    warmup_cosine,
)

Rate = Callable[[float, float, int], optax.Schedule]  # base_lr, max_lr, steps


BASELINE = "cosine decay"
FIXED = "fixed rate"
ONE_CYCLE = "one-cycle (Optax)"
CYCLES = "CLR 3 cycles"
LONG = "CLR long, then short"
GROWING = "CLR growing"
SGDR = "SGDR, 3 restarts"
FREE = "Schedule-Free"
AVERAGE = "averaged weights"
WSD = "WSD"
DECAYS = 0.99, 0.999
WARM_UP = 30  # WSD and Schedule-Free warm up in the thirtieth part of a run,
COOL_DOWN = 5  # and WSD cools down in the fifth

# where an arm's bounds are from
RANGE_TEST, SWEEP, TUNED = "range test", "sweep", "tuned"


class Averaging(NamedTuple):
    """The state of SGD that keeps an average of the weights."""

    inner: Any
    average: Any
    steps: jax.Array


momentum = partial(optax.sgd, momentum=0.9)


def averaging(learning_rate: Any, decay: Any = 0.0) -> optax.GradientTransformation:
    """SGD with momentum, and the weights' average: of all, later exponential."""
    sgd = momentum(learning_rate)

    def init(params: Any) -> Averaging:
        return Averaging(sgd.init(params), params, jnp.zeros((), jnp.int32))

    def update(gradients: Any, state: Any, params: Any = None) -> tuple[Any, Averaging]:
        updates, inner = sgd.update(gradients, state.inner, params)
        steps = state.steps + 1
        step_size = jnp.maximum(1 - decay, 1 / steps)
        new = optax.apply_updates(params, updates)
        average = optax.incremental_update(new, state.average, step_size)
        return updates, Averaging(inner, average, steps)

    return optax.GradientTransformation(init, update)


def averaged_weights(state: State) -> Any:
    """The average that `averaging` keeps."""
    return state.opt_state.average


MOMENTUM = by_step(momentum)
AVERAGED = by_step(averaging)
SCHEDULE_FREE = by_step(optax.contrib.schedule_free_sgd)
# arms of one optimizer train as one program, and are read at these weights
OPTIMIZERS = {
    MOMENTUM: ("SGD", trained),
    AVERAGED: (AVERAGE, averaged_weights),
    SCHEDULE_FREE: (FREE, schedule_free_weights),
}


@dataclass(frozen=True)
class Schedule:
    """A schedule for a run of so many steps: `rate(base_lr, max_lr, steps)`.

    The grid of its peaks is `scale` times that of the others; `numbers` are what its
    optimizer takes beside the rate.
    """

    role: Role
    rate: Rate
    optimizer: optax.GradientTransformationExtraArgs = MOMENTUM
    scale: float = 1.0
    numbers: Mapping[str, float] = field(default_factory=dict)

    def arm(self, base_lr: float, max_lr: float, steps: int) -> Arm:
        """The optimizer on this schedule."""
        rate = self.rate(base_lr, max_lr, steps)
        base = f"base {base_lr:.3g}, " if self.role == "cyclical" else ""
        others = "".join(f"{name} {n:g}, " for name, n in self.numbers.items())
        about = f"{base}peak {max_lr:.3g}, {others}{steps} steps"
        fixed = {k: optax.constant_schedule(n) for k, n in self.numbers.items()}
        numbers = {"learning_rate": rate, **fixed}
        return Arm(about, self.role, rate, self.optimizer, numbers)


def cycles(count: int, **mode: Any) -> Rate:
    """CLR in so many cycles that just fill the run."""
    return lambda base_lr, max_lr, steps: clr_schedule(
        base_lr, max_lr, math.ceil(steps / (2 * count)), **mode
    )


def exp_range(base_lr: float, max_lr: float, steps: int) -> optax.Schedule:
    gamma = 0.25 ** (1 / steps)
    return cycles(3, mode="exp_range", gamma=gamma)(base_lr, max_lr, steps)


def growing(base_lr: float, max_lr: float, steps: int) -> optax.Schedule:
    """A third of the run in one cycle, the rest in another."""
    return clr_schedule(base_lr, max_lr, math.ceil(steps / 6), cycle_mult=2)


def long_then_short(base_lr: float, max_lr: float, steps: int) -> optax.Schedule:
    """Half of the run in one cycle, the rest in six."""
    long, short = math.ceil(steps / 4), math.ceil(steps / 24)
    return optax.join_schedules(
        [clr_schedule(base_lr, max_lr, half) for half in (long, short)], [2 * long]
    )


def restarts(base_lr: float, max_lr: float, steps: int) -> optax.Schedule:
    """SGDR: three falls of half a cosine."""
    fall = {
        "init_value": max_lr,
        "peak_value": max_lr,
        "warmup_steps": 0,
        "decay_steps": -(-steps // 3),
    }
    return optax.sgdr_schedule([fall, fall, fall])


def constant(base_lr: float, max_lr: float, steps: int) -> optax.Schedule:
    return optax.constant_schedule(max_lr)


def warm_up(base_lr: float, max_lr: float, steps: int) -> optax.Schedule:
    """From 0 to max_lr, and on there."""
    return optax.linear_schedule(0.0, max_lr, -(-steps // WARM_UP))


def linear(base_lr: float, max_lr: float, steps: int) -> optax.Schedule:
    return optax.linear_schedule(max_lr, 0.0, steps)


def one_less_root(base_lr: float, max_lr: float, steps: int) -> optax.Schedule:
    """1 - sqrt: steep at first."""
    return lambda step: max_lr * (1 - jnp.sqrt(jnp.clip(step / steps, 0, 1)))


def wsd(decline: Rate, end: float = 1.0, cool: float = 1 / COOL_DOWN) -> Rate:
    """Warm-up, hold, and a cool-down; its end and its length are shares of the run."""

    def rate(base_lr: float, max_lr: float, steps: int) -> optax.Schedule:
        cooling = round(cool * steps)
        parts = [warm_up(base_lr, max_lr, steps), decline(base_lr, max_lr, cooling)]
        return optax.join_schedules(parts, [round(end * steps) - cooling])

    return rate


SCHEDULES = {
    FIXED: Schedule("fixed", constant),
    BASELINE: Schedule(
        "baseline", lambda _, top, steps: optax.cosine_decay_schedule(top, steps)
    ),
    "warm-up, cosine": Schedule(
        "peer", lambda _, top, steps: warmup_cosine(top, steps)
    ),
    "linear decay": Schedule("peer", linear),
    ONE_CYCLE: Schedule(
        "peer", lambda _, top, steps: optax.cosine_onecycle_schedule(steps, top)
    ),
    "CLR triangular, 1 cycle": Schedule("cyclical", cycles(1)),
    "CLR triangular2, 3 cycles": Schedule("cyclical", cycles(3, mode="triangular2")),
    "CLR exp_range, 3 cycles": Schedule("cyclical", exp_range),
    "CLR cosine, 1 cycle": Schedule("cyclical", cycles(1, anneal="cosine")),
}

# what is in C only, beside the best of the averages and of the cool-downs
ANYTIME = {
    CYCLES: Schedule("cyclical", cycles(3)),
    LONG: Schedule("cyclical", long_then_short),
    GROWING: Schedule("cyclical", growing),
    SGDR: Schedule("peer", restarts),
    FREE: Schedule("peer", warm_up, SCHEDULE_FREE, scale=10.0),
}
AVERAGES = {
    f"{AVERAGE} {decay:g}": Schedule(
        "peer", constant, AVERAGED, numbers={"decay": decay}
    )
    for decay in DECAYS
}
DECLINES = {f"{WSD}, linear": linear, f"{WSD}, 1 - sqrt": one_less_root}
COOL_DOWNS = {name: Schedule("peer", wsd(down)) for name, down in DECLINES.items()}
TRIED = SCHEDULES | ANYTIME | AVERAGES | COOL_DOWNS

# the arms of C: the schedules of which the best is taken, and where bounds are from
FEWER = {"CLR 1 cycle": cycles(1), "CLR 2 cycles": cycles(2)}
PLANS = TRIED | {name: Schedule("cyclical", rate) for name, rate in FEWER.items()}
ANYTIME_ARMS: dict[str, tuple[list[str], str]] = {
    f"{name}, {source}": ([name], source)
    for source, names in {
        SWEEP: [CYCLES, LONG, GROWING, *FEWER],
        RANGE_TEST: [CYCLES],
        TUNED: [CYCLES, LONG, GROWING, SGDR, BASELINE, ONE_CYCLE, FIXED, FREE],
    }.items()
    for name in names
} | {f"{AVERAGE}, {TUNED}": (list(AVERAGES), TUNED)}


CLR = f"{CYCLES}, {SWEEP}"


def tuned_name(name: str) -> str:
    """What an arm of C is called whose peak is tuned."""
    return f"{name}, {TUNED}"


def begins(reads: Iterable[int]) -> dict[int, int]:
    """For each reading, the epoch after which WSD begins to cool down for it."""
    return {end: end - max(1, round(end / COOL_DOWN)) for end in reads}


def wsd_epochs(reads: Iterable[int]) -> int:
    """The epochs of the run that WSD holds, and of a branch for each reading."""
    begin = begins(reads)
    return max(begin.values()) + sum(end - begin[end] for end in begin)


# what E measures beside its landscape
QUARTER = "a quarter of max_lr"
SUGGESTIONS = RANGE_TEST, QUARTER, SWEEP

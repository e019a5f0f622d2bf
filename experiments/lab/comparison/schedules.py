"""What is compared: one dictionary, and it is the only difference between arms."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import optax

from clr_optax import clr_schedule
from lab.training import Arm, Role, warmup_cosine

Rate = Callable[[float, float, int], optax.Schedule]

BASELINE = "cosine decay"
FIXED = "fixed rate"
ONE_CYCLE = "one-cycle (Optax)"
CYCLES = "CLR triangular, 3 cycles"
RESTARTS = "SGDR, 3 restarts"

# the bounds that E measures beside its landscape
RANGE_TEST = "range test"
QUARTER = "a quarter of max_lr"
SUGGESTIONS = RANGE_TEST, QUARTER


@dataclass(frozen=True)
class Schedule:
    """A schedule for a run of so many steps: `rate(base_lr, max_lr, steps)`."""

    role: Role
    rate: Rate

    def arm(self, base_lr: float, max_lr: float, steps: int) -> Arm:
        """SGD with momentum 0.9 on this schedule."""
        rate = self.rate(base_lr, max_lr, steps)
        inject = optax.inject_hyperparams(optax.sgd)
        optimizer = inject(learning_rate=rate, momentum=optax.constant_schedule(0.9))
        base = f"base {base_lr:.3g}, " if self.role == "cyclical" else ""
        about = f"{base}peak {max_lr:.3g}, {steps} steps"
        return Arm(about, self.role, rate, optimizer)


def cycles(count: int, **mode: Any) -> Rate:
    """CLR in so many cycles that just fill the run."""
    return lambda base_lr, max_lr, steps: clr_schedule(
        base_lr, max_lr, math.ceil(steps / (2 * count)), **mode
    )


def exp_range(base_lr: float, max_lr: float, steps: int) -> optax.Schedule:
    gamma = 0.25 ** (1 / steps)
    return cycles(3, mode="exp_range", gamma=gamma)(base_lr, max_lr, steps)


def restarts(base_lr: float, max_lr: float, steps: int) -> optax.Schedule:
    """SGDR: three falls of half a cosine."""
    fall = {
        "init_value": max_lr,
        "peak_value": max_lr,
        "warmup_steps": 0,
        "decay_steps": -(-steps // 3),
    }
    return optax.sgdr_schedule([fall, fall, fall])


SCHEDULES = {
    FIXED: Schedule("fixed", lambda _, top, steps: optax.constant_schedule(top)),
    BASELINE: Schedule(
        "baseline", lambda _, top, steps: optax.cosine_decay_schedule(top, steps)
    ),
    "warm-up, cosine": Schedule(
        "peer", lambda _, top, steps: warmup_cosine(top, steps)
    ),
    "linear decay": Schedule(
        "peer", lambda _, top, steps: optax.linear_schedule(top, 0.0, steps)
    ),
    ONE_CYCLE: Schedule(
        "peer", lambda _, top, steps: optax.cosine_onecycle_schedule(steps, top)
    ),
    "CLR triangular, 1 cycle": Schedule("cyclical", cycles(1)),
    "CLR triangular2, 3 cycles": Schedule("cyclical", cycles(3, mode="triangular2")),
    "CLR exp_range, 3 cycles": Schedule("cyclical", exp_range),
    "CLR cosine, 1 cycle": Schedule("cyclical", cycles(1, anneal="cosine")),
}

# what has its place in C only
ANYTIME = {
    CYCLES: Schedule("cyclical", cycles(3)),
    RESTARTS: Schedule("peer", restarts),
}
TUNED = SCHEDULES | ANYTIME


def tuned_name(name: str) -> str:
    """What an arm of C is called whose peak is tuned."""
    return f"{name}, tuned"


# the arms of C and their schedules; the first has the range test's bounds
CLR = f"CLR, {RANGE_TEST}"
ANYTIME_ARMS = {
    CLR: CYCLES,
    tuned_name("CLR"): CYCLES,
    tuned_name("SGDR"): RESTARTS,
    tuned_name(BASELINE): BASELINE,
    tuned_name(ONE_CYCLE): ONE_CYCLE,
    tuned_name(FIXED): FIXED,
}

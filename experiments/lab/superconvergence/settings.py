"""What the comparison's figures depend on, and the arms that it trains."""

from dataclasses import dataclass

import optax

from clr_optax import clr_schedule, momentum_schedule
from lab import LabError
from lab.arms import Arm, Role
from lab.range_tests import OPTIMIZERS

MOMENTA = {"CLR": (0.9, 0.9), "CLR, cyclical momentum": (0.85, 0.95)}
GRID = [(rate, 0.0) for rate in (0.1, 0.3, 1.0)]
GRID += [(rate, 0.9) for rate in (0.02, 0.05, 0.1)]
SHAPES = [(part, tail) for part in (1.0, 0.5) for tail in (0.0, 0.25, 0.5)]


class ProtocolError(LabError):
    """The settings, or what came out with them, don't let the protocol go on."""


@dataclass(frozen=True)
class Settings:
    """What the figures depend on."""

    epochs: tuple[int, ...] = (1, 2, 4, 10)  # of CLR's runs; the last: everyone's
    trial_epochs: int = 4
    seeds: int = 5
    batch_size: int = 64
    range_steps: int = 400
    train_images: int = 55_000

    @property
    def steps_per_epoch(self) -> int:
        """With the last, smaller batch."""
        return -(-self.train_images // self.batch_size)

    @property
    def tuning_steps(self) -> dict[str, int]:
        """The steps spent on the choice of the fixed rate, and on CLR's."""
        trials = len(SHAPES) * len(MOMENTA) * self.trial_epochs * self.steps_per_epoch
        tests = len(OPTIMIZERS) * self.seeds * self.range_steps
        grid = len(GRID) * self.epochs[-1] * self.steps_per_epoch
        return {"fixed": grid, "CLR": tests + trials}

    def check(self) -> None:
        """Raises ProtocolError if CLR would be tuned more than the fixed rate."""
        grid, clr = self.tuning_steps["fixed"], self.tuning_steps["CLR"]
        if clr > grid:
            raise ProtocolError(
                f"tuning CLR would take {clr:,} steps, the fixed rate {grid:,}: "
                "give fewer --trial-epochs or --range-steps, or more --epochs."
            )


def fixed(rate: float, momentum: float, role: Role = "fixed") -> Arm:
    """A constant rate."""
    about = f"SGD {rate:g}, momentum {momentum:g}" if momentum else f"SGD {rate:g}"
    constant = optax.constant_schedule
    return Arm(about, role, constant(rate), constant(momentum))


def cyclical(
    bounds: tuple[float, float],
    shape: tuple[float, float],
    momenta: tuple[float, float],
    steps: int,
) -> Arm:
    """One cycle, then a tail in which the rate falls to a hundredth of base_lr."""
    part, tail = shape
    base_lr, max_lr = (part * bound for bound in bounds)
    last = round(tail * steps)
    up = max(1, (steps - last) // 2)
    down = max(1, steps - last - up)
    clr = clr_schedule(base_lr, max_lr, up, step_size_down=down)
    momentum = momentum_schedule(*momenta, up, step_size_down=down)
    about = f"SGD {clr}, {momentum}"
    if last:
        about += f", then {last} steps down to {base_lr / 100:.3g}"
    fall = optax.linear_schedule(base_lr, base_lr / 100, max(1, last))
    hold = optax.constant_schedule(momenta[1])
    return Arm(
        about,
        "cyclical",
        optax.join_schedules([clr, fall], [up + down]),
        optax.join_schedules([momentum, hold], [up + down]),
    )

"""Cyclical learning rates for Optax: schedules and the learning-rate range test.

| name                  | what it is                                               |
|-----------------------|----------------------------------------------------------|
| ``clr_schedule``      | a rate that cycles, in place of an optimizer's number    |
| ``momentum_schedule`` | a momentum that falls while the rate rises               |
| ``lr_range_test``     | the losses of a short training whose rate rises          |
| ``RangeTest``         | what it returns: the curve, which reads and draws itself |
| ``lr_sweep``          | the losses after short cycles at a few peaks             |
| ``Sweep``             | what it returns: the losses by peak, with the bounds     |
| ``CyclicalSchedule``  | what both schedules are                                  |

The rate rises for 2,000 updates, falls for as many, and begins again:

>>> import optax
>>> from clr_optax import clr_schedule
>>> schedule = clr_schedule(base_lr=0.25, max_lr=0.75, step_size=2000)
>>> optimizer = optax.sgd(schedule)
>>> [float(schedule(count)) for count in (0, 1000, 2000, 3000, 4000)]
[0.25, 0.5, 0.75, 0.5, 0.25]

Bounds for your own network come from ``lr_range_test(...).bounds()``.
"""

from clr_optax._range.curve import RangeTest as RangeTest
from clr_optax._range.peaks import Sweep as Sweep
from clr_optax._range.run import lr_range_test as lr_range_test
from clr_optax._range.sweep import lr_sweep as lr_sweep
from clr_optax._schedule import clr_schedule as clr_schedule
from clr_optax._schedule import momentum_schedule as momentum_schedule
from clr_optax._value import CyclicalSchedule as CyclicalSchedule

__all__ = [
    "CyclicalSchedule",
    "RangeTest",
    "Sweep",
    "clr_schedule",
    "lr_range_test",
    "lr_sweep",
    "momentum_schedule",
]

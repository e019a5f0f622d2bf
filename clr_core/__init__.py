"""Cyclical learning rates in pure JAX: the schedule and how to choose its bounds.

| name               | what it is                                               |
|--------------------|----------------------------------------------------------|
| ``clr``            | the rate at a step, a pure function                      |
| ``suggest_bounds`` | base_lr and max_lr, read from the curve of a range test  |
| ``suggest_lr``     | one rate, read from such a curve by a rule that you name |

Half a cycle is 2,000 steps here, so that the rate is halfway up at step 1,000:

>>> from clr_core import clr
>>> float(clr(1000, base_lr=0.25, max_lr=0.75, step_size=2000))
0.5

``clr_optax`` makes an Optax schedule of it, and runs the range test.
"""

from clr_core._clr import clr as clr
from clr_core._suggest import suggest_bounds as suggest_bounds
from clr_core._suggest import suggest_lr as suggest_lr

__all__ = ["clr", "suggest_bounds", "suggest_lr"]

__version__ = "0.3.0"

"""Cyclical learning rates in pure JAX: the schedule and how to choose its bounds."""

from clr_core._clr import clr as clr
from clr_core._suggest import suggest_bounds as suggest_bounds
from clr_core._suggest import suggest_lr as suggest_lr

__version__ = "0.2.0"

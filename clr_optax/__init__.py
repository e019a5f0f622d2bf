"""Cyclical learning rates for Optax: schedules and the learning-rate range test."""

from clr_optax._range.curve import RangeTest as RangeTest
from clr_optax._range.run import lr_range_test as lr_range_test
from clr_optax._schedule import clr_schedule as clr_schedule
from clr_optax._schedule import momentum_schedule as momentum_schedule
from clr_optax._value import CyclicalSchedule as CyclicalSchedule

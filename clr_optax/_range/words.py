"""How a range test refuses what it is given."""

import functools

from clr_optax._core import refusal

needs = functools.partial(refusal, "lr_range_test")

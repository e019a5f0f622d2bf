"""The kinds of things that a range test takes, by name."""

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import optax

PyTree: TypeAlias = Any
"""Nested containers of arrays, as jax.tree takes them."""

Batch: TypeAlias = PyTree
"""What a loss is computed from; None where the loss needs none."""

Batches: TypeAlias = Iterable[Batch] | PyTree
"""Batches one by one, or stacked arrays, or None."""

LossFn: TypeAlias = Callable[..., PyTree]
"""loss_fn(params[, state], batch[, key]) to loss, or to a pair of it and the rest."""

Optimizer: TypeAlias = Callable[[optax.Schedule], optax.GradientTransformation]
"""What makes a transformation of a schedule, such as optax.sgd."""

"""Problems of every kind are trained with what the range test suggests for them."""

import functools

import jax
import numpy as np
import pytest
from range_answers import OPTIMIZERS, PROBLEMS, cycles


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("problem", PROBLEMS)
def test_cycles_between_the_suggested_bounds_improve(problem, optimizer):
    train = functools.partial(cycles, PROBLEMS[problem], OPTIMIZERS[optimizer])
    max_lr, losses = jax.jit(jax.vmap(train))(jax.random.split(jax.random.key(0), 8))
    read = np.isfinite(max_lr)
    assert read.sum() >= 2
    assert np.isfinite(losses[read]).all()
    assert (losses[read, -1] < losses[read, 0]).all()

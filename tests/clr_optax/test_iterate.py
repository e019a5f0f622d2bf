"""Scanned or dispatched: which is chosen, that both agree, that nothing is repeated."""

import functools

import jax
import jax.monitoring
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from range_problems import convolution, problem, regression

from clr_optax import _iterate, lr_range_test

MOMENTUM = functools.partial(optax.sgd, momentum=0.9)


@pytest.fixture
def compiled():
    """A list that grows by one with each compilation."""
    events = []

    def listen(name, seconds, **_):
        if "backend_compile" in name:
            events.append(name)

    jax.monitoring.register_event_duration_secs_listener(listen)
    yield events
    jax.monitoring.clear_event_listeners()


@pytest.mark.parametrize("backend", ["cpu", "gpu"])
def test_other_bounds_compile_nothing(compiled, monkeypatch, backend):
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    for base, wide in ((regression, (8, 6)), (convolution, (16,))):

        def loss_fn(params, batch, base=base):
            return base(params, batch)

        params, batches = problem(wide=wide)
        lr_range_test(loss_fn, params, batches, optimizer=MOMENTUM, num_steps=20)
        compiled.clear()
        for max_lr in (0.1, 1.0, 3):
            lr_range_test(
                loss_fn,
                params,
                batches,
                optimizer=MOMENTUM,
                num_steps=20,
                max_lr=max_lr,
            )
        assert compiled == []


@pytest.mark.parametrize("max_lr", [0.1, 1e6])
def test_dispatched_and_scanned_steps_agree(monkeypatch, max_lr):
    params, batches = problem()

    def run(params, batch):
        return regression(params, batch), {"x": batch[0].sum(), "i": jnp.int32(1)}

    tests = []
    for dispatched in (False, True):
        monkeypatch.setattr(_iterate, "_convolves", lambda jaxpr, d=dispatched: d)
        tests.append(lr_range_test(run, params, batches, max_lr=max_lr, has_aux=True))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, 1e-5), *tests)
    assert (tests[0].num_finite < 100) == (max_lr > 1)


def test_only_steps_that_convolve_are_dispatched(monkeypatch):
    runs = []
    run = _iterate._Program.run
    monkeypatch.setattr(
        _iterate._Program, "run", lambda *args: runs.append(1) or run(*args)
    )
    nested = jax.checkpoint(jax.jit(convolution))
    for loss_fn, wide in ((regression, (8, 6)), (nested, (16,))):
        lr_range_test(loss_fn, *problem(wide=wide), num_steps=20)
    assert runs == [1]
    jax.jit(lambda p, b: lr_range_test(nested, p, b))(*problem(wide=(16,)))
    assert runs == [1]


def test_dispatched_steps_end_soon_after_the_stop():
    steps = []

    def step(carry, x):
        jax.debug.callback(lambda: steps.append(1))
        kernel = jnp.ones((1, 1, 1, 1))
        y = jax.lax.conv(x * kernel, kernel, (1, 1), "VALID").sum()
        return carry + y, (y, jnp.int32(1))

    _, (ys, ones) = _iterate.iterate(
        step, jnp.float32(0), jnp.ones(100), done=lambda carry: carry > 20
    )
    jax.effects_barrier()
    assert len(steps) == 32
    assert ones.tolist() == [1] * 32 + [0] * 68
    assert np.isnan(ys[32:]).all()


def test_what_a_step_hands_on_is_not_copied():
    data = jnp.ones((1, 1, 8, 8))

    def step(carry, x):
        total, kernel, data = carry
        y = jax.lax.conv(data, kernel, (1, 1), "VALID").sum()
        return (total + x * y, kernel, data), y

    carry = (jnp.float32(0), jnp.ones((1, 1, 2, 2)), data)
    (total, _, handed), ys = _iterate.iterate(step, carry, jnp.arange(5.0))
    assert handed is data
    assert total == 10 * ys[0]

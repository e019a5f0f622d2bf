"""Scanned or dispatched: which is chosen, that both agree, that nothing is repeated."""

import functools

import jax
import jax.monitoring
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from range_problems import convolution, problem, regression

from clr_optax import lr_range_test
from clr_optax._range import iterate, program

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


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("way", ["stacked", "stacked on a gpu", "streamed"])
@pytest.mark.parametrize("loss_fn", [regression, convolution])
def test_other_bounds_compile_nothing(compiled, monkeypatch, loss_fn, way, accumulate):
    if way == "stacked on a gpu":
        monkeypatch.setattr(jax, "default_backend", lambda: "gpu")

    def anew(params, batch):
        return loss_fn(params, batch)

    params, batches = problem(wide=(16,) if loss_fn is convolution else (8, 6))
    if way == "streamed":
        batches = [jax.tree.map(lambda a, i=i: a[i], batches) for i in range(3)]
    lr_range_test(
        anew, params, batches, optimizer=MOMENTUM, num_steps=20, accumulate=accumulate
    )
    compiled.clear()
    for max_lr, stop_factor in ((0.1, 4), (1.0, 3), (3, 10.5)):
        lr_range_test(
            anew,
            params,
            batches,
            optimizer=MOMENTUM,
            num_steps=20,
            max_lr=max_lr,
            stop_factor=stop_factor,
            accumulate=accumulate,
        )
    assert compiled == []


@pytest.mark.parametrize("max_lr", [0.1, 1e6])
def test_dispatched_and_scanned_steps_agree(monkeypatch, max_lr):
    params, batches = problem()

    def run(params, batch):
        return regression(params, batch), {"x": batch[0].sum(), "i": jnp.int32(1)}

    tests = []
    for dispatched in (False, True):
        monkeypatch.setattr(program, "_convolves", lambda jaxpr, d=dispatched: d)
        program._kept.cache_clear()
        tests.append(lr_range_test(run, params, batches, max_lr=max_lr, has_aux=True))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, 1e-5), *tests)
    assert (tests[0].num_finite < 100) == (max_lr > 1)


def test_only_steps_that_convolve_are_dispatched(monkeypatch):
    runs = []
    dispatched = iterate._dispatched
    monkeypatch.setattr(
        iterate, "_dispatched", lambda *args: runs.append(1) or dispatched(*args)
    )
    nested = jax.checkpoint(jax.jit(convolution))
    for loss_fn, wide in ((regression, (8, 6)), (nested, (16,))):
        lr_range_test(loss_fn, *problem(wide=wide), num_steps=20)
    assert runs == [1]
    jax.jit(lambda p, b: lr_range_test(nested, p, b))(*problem(wide=(16,)))
    assert runs == [1]


def convolving(i, carry, given, x):
    """A step that adds up, and stops where the sum is above 20."""
    kernel = jnp.ones((1, 1, 1, 1))
    y = jax.lax.conv(x * kernel, kernel, (1, 1), "VALID").sum()
    return carry + y, (y, jnp.int32(1)), carry + y > 20


def test_dispatched_steps_end_soon_after_the_stop():
    for batches in (jnp.float32(1), iter(jnp.ones(100))):
        total, (ys, ones) = iterate.iterate(
            convolving, jnp.float32(0), None, batches, 100
        )
        count = int(ones.sum())
        assert 21 <= count <= 21 + iterate.MOST_AHEAD
        assert total == count
        assert ones.tolist() == [1] * count + [0] * (100 - count)
        np.testing.assert_array_equal(ys, ones)
    assert len(list(batches)) == 100 - count


def test_what_a_step_closes_over_is_no_constant_of_the_program():
    data = jnp.ones((1, 1, 50, 50))

    def step(i, carry, given, x):
        y = jax.lax.conv(data, jnp.ones((1, 1, 2, 2)), (1, 1), "VALID").sum()
        return carry + x * y, y, jnp.zeros((), bool)

    i = jnp.int32(0)
    made = program.Program.of(step, i, jnp.float32(0), None, jnp.float32(1))
    arguments = i, [jnp.float32(0)], made.empty([], 3), [jnp.float32(1)]
    text = made._once.lower(made._consts, *arguments).as_text()
    assert "tensor<1x1x50x50xf32>" in text.split("->")[0]
    total, ys = iterate.iterate(step, jnp.float32(0), None, jnp.float32(2), 3)
    assert total == 6 * ys[0]

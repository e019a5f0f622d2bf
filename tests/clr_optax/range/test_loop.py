"""Steps that are dispatched: compiled once, ended soon, and the same in a scan."""

import functools
import itertools

import jax
import jax.monitoring
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from range_problems import convolution, problem, regression

from clr_optax import lr_range_test
from clr_optax._range import loop

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
@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(
    "loss_fn", [regression, pytest.param(convolution, marks=pytest.mark.slow)]
)
def test_other_bounds_compile_nothing(compiled, loss_fn, streamed, accumulate):
    def anew(params, batch):
        return loss_fn(params, batch)

    params, batches = problem(wide=(16,) if loss_fn is convolution else (8, 6))
    if streamed:
        batches = [jax.tree.map(lambda a, i=i: a[i], batches) for i in range(3)]
    test = functools.partial(
        lr_range_test, anew, params, batches, num_steps=20, accumulate=accumulate
    )
    optimizers = MOMENTUM, optax.adam  # the programs of several are kept
    for optimizer in optimizers:
        test(optimizer=optimizer)
    assert compiled
    compiled.clear()
    for max_lr, stop_factor in ((0.1, 4), (1.0, 3), (3, 10.5)):
        for optimizer in optimizers:
            test(optimizer=optimizer, max_lr=max_lr, stop_factor=stop_factor)
    assert compiled == []


def test_the_last_eight_programs_are_kept(compiled):
    def step_of(number):
        def step(i, carry, given, x):
            return carry + number * x, x, carry < 0

        return step

    steps = [step_of(number) for number in range(8)]
    for _ in range(2):
        compiled.clear()
        for step in steps:
            loop.iterate("test", step, [(jnp.float32(0), None)], jnp.float32(1), 2)
    assert compiled == []


@pytest.mark.parametrize("max_lr", [0.1, 1e6])
@pytest.mark.parametrize("loss_fn", [regression, convolution])
def test_a_scan_in_a_callers_program_gives_the_same(loss_fn, max_lr):
    params, batches = problem(wide=(16,) if loss_fn is convolution else (8, 6))

    def with_aux(params, batch):
        return loss_fn(params, batch), {"x": batch[0].sum(), "i": jnp.int32(1)}

    def run(max_lr):
        return lr_range_test(with_aux, params, batches, max_lr=max_lr, has_aux=True)

    dispatched, scanned = run(max_lr), jax.jit(run)(max_lr)
    assert scanned.lrs[-1] == dispatched.lrs[-1]
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, 1e-4), dispatched, scanned
    )
    assert (dispatched.num_finite < 100) == (max_lr > 1)


def adding(i, carry, given, x):
    """A step that adds up, and stops where the sum is above 20."""
    return carry + x, (x, jnp.int32(1)), carry + x > 20


def test_dispatched_steps_end_soon_after_the_stop():
    for batches in (jnp.float32(1), iter(jnp.ones(100))):
        [(total, (xs, ones), stopped, _)] = loop.iterate(
            "test", adding, [(jnp.float32(0), None)], batches, 100
        )
        count = int(ones.sum())
        assert stopped
        assert 21 <= count <= 21 + 8
        assert total == count
        assert ones.tolist() == [1] * count + [0] * (100 - count)
        np.testing.assert_array_equal(xs, ones)
    assert len(list(batches)) == 100 - count


def test_batches_of_16_mb_are_not_dispatched_far_ahead():
    def step(i, carry, given, x):
        return carry + x[0], jnp.int32(1), carry + x[0] > 20

    batch = jnp.ones(2**22)
    [(total, *_)] = loop.iterate(
        "test", step, [(jnp.float32(0), None)], itertools.repeat(batch), 100
    )
    assert 21 <= total <= 21 + 2


def test_what_a_step_closes_over_is_no_constant_of_the_program(monkeypatch):
    data = jnp.ones((50, 50))

    def step(i, carry, given, x):
        return carry + x * data.sum(), data.sum(), jnp.zeros((), bool)

    texts = []

    def watched(*arguments):
        program = loop_program(*arguments)

        def run(*arrays):
            texts.append(program.func.lower(*program.args, *arrays).as_text())
            return program(*arrays)

        return run

    loop_program = loop._program
    monkeypatch.setattr(loop, "_program", watched)
    [(total, sums, stopped, _)] = loop.iterate(
        "test", step, [(jnp.float32(0), None)], jnp.float32(2), 3
    )
    assert not stopped
    assert total == 6 * sums[0] == 6 * 2500
    assert all("tensor<50x50xf32>" in text.split("->")[0] for text in texts)
    assert len(texts) == 3

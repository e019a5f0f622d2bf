"""Under each of JAX's strict settings a test runs as without, stopped or not."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from range_problems import convolution, problem, regression
from strict import SETTINGS, TOGETHER_OR_ALONE

from clr_optax import lr_range_test

MOMENTUM = functools.partial(optax.sgd, momentum=0.9)


def with_state(loss_fn):
    """Returns a new function, of which nothing is traced or compiled yet."""

    def stateful(params, state, batch, key):
        loss = loss_fn(params, batch) + 1e-3 * jax.random.uniform(key)
        return loss, (state + 1, {"doubled": 2 * loss})

    return stateful


def run(loss_fn, streamed, accumulate, max_lr):
    params, batches = problem(wide=(16,) if loss_fn is convolution else (8, 6))
    if streamed:
        batches = [jax.tree.map(lambda a, i=i: a[i], batches) for i in range(3)]
    return lr_range_test(
        with_state(loss_fn),
        params,
        batches,
        state=jnp.int32(0),
        key=jax.random.key(0),
        has_aux=True,
        accumulate=accumulate,
        num_steps=40,
        max_lr=max_lr,
        optimizer=MOMENTUM,
    )


plain = functools.cache(run)


@pytest.mark.parametrize("max_lr", [pytest.param(0.1, marks=pytest.mark.slow), 1e3])
@pytest.mark.parametrize(
    ("loss_fn", "streamed", "accumulate"),
    [(regression, False, 2), (regression, True, 1), (convolution, False, 1)],
)
@pytest.mark.parametrize("setting", TOGETHER_OR_ALONE)
def test_a_test_runs_as_without(setting, loss_fn, streamed, accumulate, max_lr):
    with SETTINGS[setting]():
        strict = run(loss_fn, streamed, accumulate, max_lr)
        text = repr(strict)
    expected = plain(loss_fn, streamed, accumulate, max_lr)
    assert (strict.num_finite < 40) == (max_lr > 1)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, 1e-5), strict, expected)
    assert text == repr(expected)


@pytest.mark.parametrize(
    "setting",
    [
        "no promotion",
        *(pytest.param(s, marks=pytest.mark.slow) for s in ("no leaks", "checks")),
    ],
)
def test_a_program_with_a_tracer_in_the_optimizer(setting):
    params, batches = problem()

    def test(decay):
        def optimizer(rate):
            return optax.chain(optax.add_decayed_weights(decay), optax.sgd(rate))

        return lr_range_test(
            regression, params, batches, optimizer=optimizer, max_lr=0.1, num_steps=20
        )

    decays = jnp.array([0.0, 0.1, 1.0])
    with SETTINGS[setting]():
        mapped = jax.vmap(test)(decays), jax.jit(jax.vmap(test))(decays)
    for several in mapped:
        for i, decay in enumerate(decays):
            np.testing.assert_allclose(several.losses[i], test(decay).losses, 1e-5)


@pytest.mark.parametrize("streamed", [False, True])
def test_double_precision_is_kept(streamed):
    with jax.enable_x64(True):
        params, batches = problem(dtype=jnp.float64)
        batches = jax.tree.map(lambda a: a.astype(jnp.float64), batches)
        if streamed:
            batches = [jax.tree.map(lambda a, i=i: a[i], batches) for i in range(3)]
        for accumulate in (1, 3):
            test = lr_range_test(
                regression, params, batches, max_lr=1e3, accumulate=accumulate
            )
            assert test.lrs.dtype == test.losses.dtype == jnp.float64
            assert test.num_finite < 100
            assert test.suggest("valley") in test.lrs  # in no digits but float64's
            max_lr = test.bounds()[1]
            assert max_lr != float(np.float32(max_lr))

"""The range test: its rates, its losses, its stop, and what it leaves as it was."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from range_problems import convolution, problem, quadratic, regression

from clr_core import suggest_bounds, suggest_lr
from clr_optax import lr_range_test

KEY = jax.random.key(0)


@pytest.mark.parametrize("spacing", ["exponential", "linear"])
@settings(deadline=None, max_examples=30)
@given(low=st.floats(1e-10, 1e-2), ratio=st.floats(1.5, 1e8))
def test_both_ends_are_exact(spacing, low, ratio):
    test = lr_range_test(
        quadratic,
        jnp.ones(1),
        (jnp.ones((1, 1)), jnp.zeros((1, 1))),
        min_lr=low,
        max_lr=low * ratio,
        num_steps=20,
        spacing=spacing,
    )
    share = np.arange(20) / 19
    lrs = (
        low * ratio**share
        if spacing == "exponential"
        else low + low * share * (ratio - 1)
    )
    assert test.lrs[0] == np.float32(low)
    assert test.lrs[-1] == np.float32(low * ratio)
    np.testing.assert_allclose(test.lrs, lrs, rtol=1e-6)


def test_smoothed_is_the_bias_corrected_mean():
    params, batches = problem()
    test = lr_range_test(regression, params, batches, max_lr=0.3, num_steps=60)
    decay, losses = 1 - 1 / 3, np.asarray(test.losses, np.float64)
    weights = [decay ** np.arange(k, -1, -1) for k in range(60)]
    expected = [w @ losses[: w.size] / w.sum() for w in weights]
    np.testing.assert_allclose(test.smoothed, expected, rtol=1e-5)


def test_the_stop_is_four_times_the_best():
    test = lr_range_test(regression, *problem(), max_lr=1e4)
    count = int(test.num_finite)
    assert 10 < count < 100
    losses, smoothed = np.asarray(test.losses), np.asarray(test.smoothed)
    assert np.isfinite(losses[:count]).all()
    assert np.isnan(losses[count:]).all()
    assert np.isnan(smoothed[count:]).all()
    limit = 4 * np.fmin.accumulate(smoothed)
    over = (smoothed > limit) & (losses > limit)
    over[1:] &= losses[:-1] > limit[1:]
    assert over[:count].nonzero()[0].tolist() == [count - 1]


def test_by_default_it_is_of_a_hundred_rates_from_a_millionth_to_ten():
    test = lr_range_test(regression, *problem())
    assert test.lrs.shape == (100,)
    assert test.lrs[0] == np.float32(1e-6)
    assert test.lrs[-1] == 10


def as_given(params, value):
    return value[0, 0] + 0 * params


def series(values):
    """A test whose losses are the values, whatever is trained."""
    values = jnp.asarray(values, jnp.float32)[:, None, None]
    return lr_range_test(as_given, jnp.float32(0), values, num_steps=values.size)


@pytest.mark.parametrize(("high", "measured"), [(3.9, 100), (4.1, range(52, 90))])
def test_by_default_four_times_the_best_loss_is_too_much(high, measured):
    test = series([1.0] * 50 + [high] * 50)
    assert int(test.num_finite) in np.atleast_1d(measured)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("first", [0, 1, 17])
def test_a_nonfinite_loss_stops_it(value, first):
    test = series(np.where(np.arange(40) == first, value, 1.0))
    assert test.num_finite == first
    assert np.isnan(test.losses[first:]).all()
    assert np.isfinite(test.losses[:first]).all()
    with pytest.raises(ValueError, match=r"10 finite losses|losses that fall"):
        suggest_lr(test.lrs, test.losses)


@pytest.mark.parametrize("size", [1, pytest.param(5, marks=pytest.mark.slow), 20])
def test_bounds_of_a_quadratic_are_below_the_rate_at_which_it_diverges(size):
    rng, runs = np.random.default_rng(size), 300
    scale, spread = rng.uniform(-3, 3, (runs, 1)), rng.uniform(0, 3, (runs, 1))
    curvatures = 10 ** (scale - spread * rng.random((runs, size)))
    curvatures[:, 0] = 10 ** scale[:, 0]
    start = rng.uniform(0.3, 3, (runs, size)) * rng.choice([-1, 1], (runs, size))
    stable = 2 / curvatures[:, 0]
    below, above = rng.uniform(2, 5, runs), rng.uniform(1.5, 4, runs)

    def read(curvatures, start, low, high):
        batches = curvatures[None], jnp.zeros((1, size))
        test = lr_range_test(quadratic, start, batches, min_lr=low, max_lr=high)
        limit = suggest_lr(test.lrs, test.losses, "limit")
        return *suggest_bounds(test.lrs, test.losses), limit

    given = curvatures, start, stable * 10**-below, stable * 10**above
    base_lr, max_lr, limit = np.stack(jax.vmap(read)(*map(jnp.float32, given))) / stable
    assert (limit < 1).all()
    assert (limit > 1 / 4).all()
    assert (max_lr <= limit).all()
    assert (max_lr > 1 / 30).all()
    np.testing.assert_allclose(base_lr, max_lr / 10, rtol=1e-6)


@pytest.mark.parametrize("donate", [False, True])
@pytest.mark.parametrize("loss_fn", [regression, convolution])
def test_what_was_given_stays_as_it_was(donate, loss_fn):
    def donating(schedule):
        sgd = optax.sgd(schedule)

        def init(params):
            return sgd.init(params), jax.tree.map(lambda p: 2 * p, params)

        def update(grads, state, params=None):
            updates, inner = sgd.update(grads, state[0], params)
            return updates, (inner, state[1])

        return optax.GradientTransformation(
            jax.jit(init, donate_argnums=0), jax.jit(update, donate_argnums=(0, 1, 2))
        )

    params, batches = problem(wide=(16,) if loss_fn is convolution else (8, 6))
    before = jax.tree.map(np.array, (params, batches))
    lr_range_test(
        loss_fn, params, batches, optimizer=donating if donate else optax.adam
    )
    jax.tree.map(np.testing.assert_array_equal, (params, batches), before)


def test_aux_is_stacked_and_blank_after_the_stop():
    def loss_fn(params, value):
        return value[0] + 0 * params, {"value": 2 * value[0], "whole": jnp.int32(7)}

    values = list(jnp.where(jnp.arange(20) < 12, 1.0, jnp.nan)[:, None])
    test = lr_range_test(loss_fn, jnp.float32(0), values, num_steps=20, has_aux=True)
    assert test.aux["whole"].tolist() == [7] * 12 + [0] * 8
    np.testing.assert_array_equal(test.aux["value"], 2 * test.losses)


@pytest.mark.parametrize(
    "loss_fn", [regression, pytest.param(convolution, marks=pytest.mark.slow)]
)
def test_eight_seeds_under_vmap_are_eight_tests(loss_fn):
    def keyed(params, batch, key):
        return loss_fn(params, batch) + 1e-3 * jax.random.uniform(key)

    def run(key, order):
        params, batches = problem(wide=(16,) if loss_fn is convolution else (8, 6))
        noise = jax.random.normal(key, params["v"].shape)
        params = {**params, "v": params["v"] + noise}
        batches = jax.tree.map(lambda a: a[order], batches)
        limits = {"max_lr": 10.0, "num_steps": 40}
        return lr_range_test(keyed, params, batches, key=key, **limits)

    keys = jax.random.split(KEY, 8)
    orders = jnp.stack([jnp.roll(jnp.arange(3), i) for i in range(8)])
    mapped = jax.vmap(run)(keys, orders)
    for i in range(8):
        single = run(keys[i], orders[i])
        assert mapped.num_finite[i] == single.num_finite
        np.testing.assert_allclose(mapped.losses[i, :25], single.losses[:25], rtol=1e-4)

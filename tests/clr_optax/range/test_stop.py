"""When a test stops, and when it does not."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from clr_optax._range.stop import Stop, running_means

SIZES = st.sampled_from([20, 100, 300])
HIGH = st.floats(20, 1e30)


@functools.partial(jax.jit, static_argnums=1)
def drive(losses, factor=4.0):
    """Returns the last state, and whether it stopped at each loss."""

    def step(stop, at):
        i, loss = at
        stop = stop.after(i, losses.size, loss, factor)
        return stop, stop.stopped

    start = Stop.start(losses.dtype)
    return jax.lax.scan(step, start, (jnp.arange(losses.size), losses))


def seen(losses, factor=4.0):
    """Returns how many losses there are up to the one that stops, or all."""
    _, stopped = drive(jnp.float32(losses), factor)
    return int(stopped.argmax()) + 1 if stopped.any() else len(losses)


def first(size):
    """Returns the first loss that may stop a test."""
    return max(5, -(-size // 10))


@given(size=SIZES, share=st.floats(0, 1), high=HIGH)
@example(size=100, share=0.1, high=1e6)
def test_one_spike_never_stops_it(size, share, high):
    losses = np.ones(size)
    losses[round(share * (size - 1))] = high
    assert seen(losses) == size


@given(size=SIZES, share=st.floats(0, 0.8), high=HIGH)
def test_a_rise_for_good_stops_it_within_a_twentieth(size, share, high):
    place = first(size) + round(share * (size - first(size) - 5))
    losses = np.where(np.arange(size) < place, 1.0, high)
    assert place + 2 <= seen(losses) <= place + max(2, size / 20)


@given(size=SIZES, share=st.floats(0.3, 0.8), unit=st.integers(-90, 90))
def test_an_explosion_stops_it_within_a_twentieth(size, share, unit):
    place = round(share * size)
    losses = 2.0 ** (np.maximum(np.arange(size) - place, 0) * 100 / size) * 2.0**unit
    losses = np.minimum(losses, 1e37)
    four_times = place + np.ceil(0.02 * size)
    assert place + 2 <= seen(losses) <= four_times + max(2, size / 20)


@given(size=SIZES, high=st.floats(1, 3.9))
def test_less_than_the_factor_does_not_stop_it(size, high):
    losses = np.where(np.arange(size) < size // 2, 1.0, high)
    assert seen(losses) == size
    assert seen(2 * losses - 1, factor=10.0) == size


@given(st.lists(st.floats(0, 2.0**99, width=32), min_size=100, max_size=100))
def test_nothing_is_decided_in_the_first_tenth(losses):
    assert seen(losses) > 10


@pytest.mark.parametrize("size", [20, 100, 300])
def test_a_rise_is_one_from_the_first_loss_on_that_may_stop_it(size):
    index = np.arange(size)
    assert seen(np.where(index < first(size) - 1, 1.0, 100.0)) == size
    assert seen(np.where(index < first(size), 1.0, 100.0)) < size


def test_zeros_do_not_stop_it():
    assert seen(np.zeros(40)) == 40


@pytest.mark.parametrize("spread", [0.2, 0.6])
@pytest.mark.parametrize("size", [20, 100, 300])
def test_the_best_is_the_lowest_of_the_mean_and_six_times_its_noise(size, spread):
    """By the docstring: mean + 6 noise**2 / mean, from the first tenth on."""
    losses = np.random.default_rng(0).uniform(1 - spread, 1 + spread, size)
    decay = 1 - 1 / max(5, size / 20)
    found = []
    for count in range(first(size), size + 1):
        weights = decay ** np.arange(count - 1, -1, -1)
        mean = np.average(losses[:count], weights=weights)
        steps = np.abs(np.diff(losses[:count]))
        noise = np.average(steps, weights=weights[1:])
        found.append(mean + 6 * noise**2 / mean)
    stop, _ = drive(jnp.float32(losses))
    np.testing.assert_allclose(256 * stop.best, min(found), rtol=1e-5)


def test_an_easy_first_batch_does_not_stop_it():
    for high in (1, 2, 3):
        losses = np.where(np.arange(100) < high, 0.01, 1.0)
        assert seen(losses) == 100


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [0, 1, 17, 39])
@pytest.mark.parametrize("factor", [4.0, None])
def test_what_is_not_finite_stops_it_at_once(value, place, factor):
    losses = np.where(np.arange(40) == place, value, 1.0)
    assert seen(losses, factor) == place + 1
    assert drive(jnp.float32(losses), factor)[1][place:].all()


def test_without_a_factor_no_finite_loss_stops_it():
    assert seen(2.0 ** np.arange(100), None) == 100


def test_negative_losses_go_on_until_they_rise():
    falling = np.linspace(-1, -3, 40)
    assert seen(falling) == 40
    assert 32 <= seen(np.where(np.arange(40) < 30, falling, 50)) <= 33


@pytest.mark.parametrize("size", [100, 1000])
@pytest.mark.parametrize("freedom", [1, 2, 4, 8, 32])
def test_batches_of_one_do_not_stop_a_flat_loss(size, freedom):
    """Squared errors of a batch are a chi-square of as many degrees of freedom."""
    rng = np.random.default_rng(0)
    losses = rng.chisquare(freedom, (200, size)) / freedom
    _, stopped = jax.vmap(drive, (0, None))(jnp.float32(losses), 4.0)
    assert not stopped.any()


@pytest.mark.parametrize("size", [100, 1000])
def test_noise_of_batches_of_one_does_not_hide_a_divergence(size):
    rng = np.random.default_rng(0)
    level = np.exp(np.maximum(np.arange(size) - size // 2, 0) * (200 / size))
    losses = level.clip(None, 1e30) * rng.chisquare(1, (200, size))
    _, stopped = jax.vmap(drive, (0, None))(jnp.float32(losses), 4.0)
    waste = stopped.argmax(1) + 1 - size // 2
    assert stopped.any(1).all()
    assert np.median(waste) <= size / 20


@pytest.mark.parametrize("size", [10, 60, 400])
def test_the_mean_is_bias_corrected(size):
    losses = np.random.default_rng(0).normal(size=size)
    decay = 1 - 1 / max(1, size / 20)
    weights = [decay ** np.arange(k, -1, -1) for k in range(size)]
    expected = [w @ losses[: w.size] / w.sum() for w in weights]
    np.testing.assert_allclose(running_means(jnp.float32(losses)), expected, atol=1e-5)


@pytest.mark.parametrize("sign", [1, -1, [1, -1]])
def test_finite_losses_leave_all_finite(sign):
    losses = jnp.float32(np.resize(sign, 100) * 3e38)
    with jax.debug_nans(True), jax.debug_infs(True):
        stop, _ = drive(losses, 4.0)
        means = running_means(losses)
    assert all(np.isfinite(leaf).all() for leaf in (*stop, means))


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_strict_settings_change_nothing(dtype):
    losses = np.where(np.arange(60) < 40, 1.0, 100.0)
    with (
        jax.enable_x64(dtype == jnp.float64),
        jax.numpy_dtype_promotion("strict"),
        jax.numpy_rank_promotion("raise"),
        jax.checking_leaks(),
    ):
        stop, stopped = drive(jnp.asarray(losses, dtype), 4.0)
        means = running_means(jnp.asarray(losses, dtype))
        assert means.dtype == stop.best.dtype == dtype
        array = drive.__wrapped__(jnp.asarray(losses, dtype), jnp.asarray(4.0, dtype))
    assert int(stopped.argmax()) + 1 == seen(losses) == 42
    np.testing.assert_array_equal(array[1], stopped)


def test_memory_is_five_scalars():
    leaves = jax.tree.leaves(Stop.start(jnp.float32))
    assert [leaf.shape for leaf in leaves] == [()] * 5

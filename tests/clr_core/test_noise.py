"""What noise alone may do, and what it may not hide."""

import jax
import numpy as np
import pytest

from clr_core import suggest_bounds, suggest_lr
from clr_core._clean import _period

period_of = jax.jit(_period)


def readable(losses):
    """Returns the share of curves, one a row, from which a rate can be read.

    They are read 500 at a time, so that little is compiled.
    """
    lrs = np.geomspace(1e-7, 10, losses.shape[1])
    read = jax.vmap(lambda row: suggest_lr(lrs, row))
    parts = np.float32(losses).reshape(-1, 500, lrs.size)
    return np.mean([np.isfinite(read(part)) for part in parts])


def fall(size, depth, noise=0.0, curves=1):
    """Returns curves that fall by depth, centred on 10**-2.5, and rise from 0.3 on."""
    lrs = np.geomspace(1e-7, 10, size)
    losses = 0.5 + depth / (1 + np.exp(4 * (np.log10(lrs) + 2.5)))
    losses += depth * np.where(lrs > 0.3, 2 * (lrs / 0.3 - 1), 0)
    return losses + noise * np.random.default_rng(0).normal(size=(curves, size))


def autoregressive(factor, curves, size):
    """Returns noise that keeps so much of itself from point to point."""
    values = np.random.default_rng(0).normal(size=(curves, size))
    for i in range(1, size):
        fresh = (1 - factor**2) ** 0.5 if factor < 1 else 1
        values[:, i] = factor * values[:, i - 1] + fresh * values[:, i]
    return values


@pytest.mark.parametrize("size", [20, 100, 1000])
@pytest.mark.parametrize(
    "noise",
    [
        lambda rng, shape: rng.normal(size=shape),
        lambda rng, shape: rng.exponential(size=shape),
        lambda rng, shape: rng.standard_t(3, shape),
        lambda rng, shape: rng.normal(size=shape) ** 2,
    ],
    ids=["normal", "exponential", "of Student", "squared"],
)
def test_flat_white_noise_is_read_less_than_once_in_a_hundred(size, noise):
    losses = noise(np.random.default_rng(size), (1000, size))
    assert readable(2.3 + 0.1 * losses) < 0.01


@pytest.mark.parametrize(
    ("factor", "size", "most"),
    [(0.9, 100, 0.10), (0.9, 1000, 0.01), (1, 100, 0.16), (1, 1000, 0.07)],
)
def test_flat_noise_that_drifts_is_seldom_read(factor, size, most):
    assert readable(2.3 + 0.1 * autoregressive(factor, 500, size)) < most


@pytest.mark.parametrize(
    ("size", "noise"), [(20, 0.1), (100, 0.3), (1000, 0.6), (1000, 1.0)]
)
def test_a_fall_is_read_the_better_the_more_points_there_are(size, noise):
    assert readable(fall(size, 1.5, noise, 500)) >= 0.95


@pytest.mark.parametrize("batches", [3, 5, 7, 10, 12, 15, 20, 25, 30, 40])
def test_batches_that_come_again_do_not_hide_a_fall(batches):
    rng = np.random.default_rng(batches)
    noise = np.tile(rng.normal(size=(500, batches)), 100 // batches + 1)[:, :100]
    assert readable(fall(100, 10) + 0.6 * noise) >= 0.995


@pytest.mark.parametrize("size", [100, 1000])
@pytest.mark.parametrize("batches", [3, 5, 10, 12, 20, 30, 40, None])
def test_noise_that_shrinks_with_the_loss_does_not_hide_a_fall(batches, size):
    index = np.arange(size)
    late = (index * 100 / size - 50).clip(0)
    smooth = 0.3 + 10 * np.exp(-late / 8)
    noise = np.random.default_rng(0).normal(1, 0.1, (500, batches or size))
    assert readable(smooth * noise[:, index % noise.shape[1]]) >= 0.985


def unlike(batches, curves, spread, order):
    """Returns how large the losses of batches are, as they come again and again."""
    sizes = np.random.default_rng(0).uniform(0, np.log(spread), (curves, batches))
    return np.exp(order(sizes))[:, np.arange(100) % batches]


@pytest.mark.parametrize("order", [np.array, np.sort], ids=["mixed", "sorted"])
@pytest.mark.parametrize("spread", [1.5, 3, 10])
@pytest.mark.parametrize("batches", [3, 5, 10, 12, 16, 20, 30])
def test_unlike_batches_that_come_again_do_not_hide_a_fall(batches, spread, order):
    late = (np.arange(100) - 50).clip(0)
    smooth = 0.3 + 10 * np.exp(-late / 8)
    assert readable(smooth * unlike(batches, 500, spread, order)) >= 0.99


@pytest.mark.parametrize("order", [np.array, np.sort], ids=["mixed", "sorted"])
@pytest.mark.parametrize("spread", [1.5, 3, 10])
@pytest.mark.parametrize("batches", [3, 5, 10, 12, 16, 20, 30, 40])
def test_unlike_batches_that_come_again_make_no_fall(batches, spread, order):
    assert readable(unlike(batches, 500, spread, order)) < 0.01


@pytest.mark.parametrize("batches", [3, 5, 10, 12, 20, 30, 40])
def test_flat_noise_that_repeats_is_seldom_read(batches):
    noise = np.random.default_rng(0).normal(2.3, 0.1, (500, batches))
    assert readable(noise[:, np.arange(100) % batches]) < 0.02


@pytest.mark.parametrize(("times", "read"), [(5.7, False), (6.3, True)])
def test_a_fall_in_noise_that_repeats_is_six_times_the_rise_before_it(times, read):
    """A rise and a fall in the means over ten batches, which are free of the noise."""
    index = np.arange(100)
    rise = 0.5 / times
    means = np.interp(index, [0, 9, 20, 35, 60, 99], [0, 0, rise, rise, -0.49, -0.5])
    noise = np.random.default_rng(0).normal(size=10)
    losses = 5 + means + noise[index % 10]
    assert readable(np.tile(losses, (500, 1))) == read


@pytest.mark.parametrize("size", [10, 100, 1000])
@pytest.mark.parametrize("depth", [1e-3, 1.5, 1e3])
def test_a_fall_without_noise_is_always_read(size, depth):
    losses = fall(size, depth)[0]
    base_lr, max_lr = suggest_bounds(np.geomspace(1e-7, 10, size), losses)
    assert 0 < base_lr < max_lr < 0.6


def test_what_oscillates_after_its_fall_is_read():
    """Noise is measured before the lowest point: there the rate does little."""
    index = np.arange(100)
    losses = np.clip((60 - index) / 30, 0, 1) + 0.3 * (index > 60) * (index % 7 / 6)
    assert readable(np.tile(losses, (500, 1))) == 1


@pytest.mark.parametrize("depth", [0, 5])
@pytest.mark.parametrize(
    ("size", "period", "found"),
    [
        (100, 100, 0),
        (100, 2, 2),
        (100, 3, 3),
        (100, 17, 17),
        (100, 50, 50),
        (100, 51, 0),  # it is not seen to come twice
        (20, 9, 9),
        (19, 9, 0),  # nine steps alone come again
    ],
)
def test_a_period_is_found_up_to_half_of_the_points(size, period, found, depth):
    noise = np.resize(np.random.default_rng(1).normal(size=period), size)
    losses = noise - depth * np.linspace(0, 1, size)
    padded = np.append(losses, np.full(3 * size, np.nan))  # as after a stop
    again = period if size - 1 - period >= 10 else 0
    assert int(period_of(np.float32(losses), np.float32(1))) == found
    assert int(period_of(np.float32(padded), np.float32(1))) == again


def test_a_curve_that_bends_has_no_period_of_one_step():
    """From one step to the next it hardly does, from one to the third it does."""
    losses = np.float32((np.arange(100) / 100) ** 2)
    assert not period_of(losses, np.float32(3e-3))


def test_losses_of_few_values_are_alike_without_a_period():
    for seed in range(20):
        coarse = np.random.default_rng(seed).integers(3, size=100)
        assert not period_of(np.float32(coarse), np.float32(1))

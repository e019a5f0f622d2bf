"""Curves that mislead: what the reading mends, and what it says of the rest."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strict import SETTINGS, TOGETHER_OR_ALONE

from clr_core import suggest_bounds, suggest_lr
from clr_core._doubts import DOUBTS, _risen
from clr_core._reading import reading
from clr_core._rules import smith

RULES = ("valley", "slide", "steep", "minimum", "smith", "limit")
LRS = np.geomspace(1e-6, 10, 100)
SMALLER, LARGER, SOON, STOPPED, FEW, NOISE = DOUBTS


def reservations(lrs, losses):
    """Returns what is said of the bounds of a curve, nothing where there are none."""
    read = reading("reservations", lrs, losses)
    return read.reservations() if read.sound else ()


def risen(lrs, losses):
    """Whether the loss has risen by the last rate."""
    read = reading("risen", lrs, losses)
    return bool(is_risen(read.curve, read.facts))


@jax.jit
def is_risen(curve, facts):
    """The same as one program."""
    return _risen(curve, facts, smith(curve))


def curve(lrs=LRS, centre=-2.0, noise=0.0):
    """Returns a fall from 2.3 to 0.5 around 10**centre, a rise from 0.3 on, noise."""
    losses = 0.5 + 1.8 / (1 + np.exp(4 * (np.log10(lrs) - centre)))
    losses += np.where(lrs > 0.3, 2 * (lrs / 0.3 - 1), 0)
    return losses + noise * np.random.default_rng(0).normal(size=lrs.size)


@given(
    steps=st.integers(1, 9),
    height=st.floats(0.1, 100),
    decay=st.floats(0.3, 0.8),
    noise=st.sampled_from([0.0, 0.02]),
)
def test_a_network_that_settles_first_does_not_move_the_bounds(
    steps, height, decay, noise
):
    losses = curve(noise=noise)
    settling = losses.copy()
    settling[:steps] += height * decay ** np.arange(steps)
    bounds, moved = suggest_bounds(LRS, losses), suggest_bounds(LRS, settling)
    np.testing.assert_allclose(moved, bounds, rtol=0.2)


def test_a_good_curve_has_no_reservations():
    assert reservations(LRS, curve()) == ()
    assert reservations(LRS, curve(noise=0.05)) == ()
    assert reservations(list(LRS), list(curve())) == ()


@pytest.mark.parametrize("noise", [0.0, 0.05])
@pytest.mark.parametrize("size", [100, 1000])
def test_a_fall_from_the_first_rate_is_told(noise, size):
    index = np.arange(size) * 100 / size
    losses = 2.3 - 1.8 * np.minimum(index / 70, 1) + np.expm1((index - 80).clip(0) / 3)
    losses += noise * np.random.default_rng(0).normal(size=size)
    assert reservations(np.geomspace(1e-6, 10, size), losses) == (SMALLER,)


@pytest.mark.parametrize(("flat", "told"), [(0, True), (7, True), (12, False)])
@pytest.mark.parametrize("size", [100, 1000])
def test_an_eighth_of_flat_rates_shows_where_a_fall_begins(flat, told, size):
    """In percent of the rates, before a fall over half of them and a rise."""
    index = np.arange(size) * 100 / size
    losses = 2.3 - 1.8 * ((index - flat) / 50).clip(0, 1)
    losses += np.expm1((index - 80).clip(0) / 3)
    assert (SMALLER in reservations(np.geomspace(1e-6, 10, size), losses)) is told


def test_a_network_that_settles_does_not_fall_from_the_first_rates_on():
    settling = curve() + 5 * 0.7 ** np.arange(100)
    assert reservations(LRS, settling) == ()


def test_reservations_name_max_lr_where_they_bear_on_it():
    assert all(text.startswith("max_lr: ") for text in (SMALLER, LARGER, SOON))
    assert not any("max_lr" in text for text in (STOPPED, FEW, NOISE))


@pytest.mark.parametrize(("apart", "told"), [(2, True), (3.7, True), (4.3, False)])
@pytest.mark.parametrize("size", [100, 400])
def test_a_fall_that_is_done_close_to_the_last_rate_is_told(apart, told, size):
    """Means over a tenth end a step half a tenth behind it."""
    index, growth = np.arange(size), 1.02
    lrs = 1e-4 * growth**index
    first = size - 1 - size // 20 - round(np.log(apart) / np.log(growth))
    losses = np.where(index < first, 2.0, 1.0)
    assert (LARGER in reservations(lrs, losses)) is told
    assert SOON not in reservations(lrs, losses)
    losses[-5:] = 50
    assert LARGER not in reservations(lrs, losses)


def test_a_loss_that_is_low_over_less_than_a_factor_of_three_is_told():
    """Low is what has less than a fifth of the fall left."""
    index, told = np.arange(200), {}
    lrs = 1e-4 * 1.015**index
    for length in range(80, 95):
        losses = np.where((index < 60) | (index > 60 + length), 2.0, 1.0)
        low = np.flatnonzero(reading("curve", lrs, losses).curve.height <= 0.2)
        told[lrs[low[-1]] / lrs[low[0]]] = SOON in reservations(lrs, losses)
    assert min(told) < 2.9
    assert max(told) > 3.1
    assert told == {times: times < 3 for times in told}


@pytest.mark.parametrize("noise", [0.0, 0.05, 0.6])
@pytest.mark.parametrize("centre", [-2.0, 0.0])
def test_a_loss_that_never_rises_has_not_risen(noise, centre):
    lrs = np.geomspace(1e-6, 10, 1000)
    losses = 0.5 + 1.5 / (1 + np.exp(4 * (np.log10(lrs) - centre)))
    losses += noise * np.random.default_rng(0).normal(size=1000)
    assert not risen(lrs, losses)


@pytest.mark.parametrize(("times", "told"), [(0.9, True), (1.1, False)])
def test_a_rise_is_a_tenth_of_the_fall_and_four_deviations_of_a_mean(times, told):
    """A fall of 1 from 10, with a noise that alternates; means are over 11 losses."""
    index = np.arange(100)
    losses = 10 - ((index - 20) / 20).clip(0, 1) + 0.05 * (-1.0) ** index
    noise = reading("facts", LRS, losses).facts.noise
    rise = times * (0.1 + 4 * noise / np.sqrt(11))
    higher = losses + rise * (index >= 80)
    assert risen(LRS, higher) is not told


@pytest.mark.parametrize(("height", "told"), [(0.09, True), (0.11, False)])
def test_one_loss_rises_by_a_tenth_of_the_fall(height, told):
    index = np.arange(100)
    losses = 10 - ((index - 20) / 20).clip(0, 1) + height * (index == 97)
    assert risen(LRS, losses) is not told


@pytest.mark.parametrize("unit", [2.0**-20, 1.0, 2.0**20])
def test_a_rise_within_the_noise_is_none_in_any_unit(unit):
    losses = 0.5 + 1.5 / (1 + np.exp(4 * (np.log10(LRS) + 2))) + 0.2 * (LRS > 0.3)
    losses += 0.3 * np.random.default_rng(3).normal(size=100)
    assert not risen(LRS, unit * losses)
    assert reservations(LRS, unit * losses) == ()


@pytest.mark.parametrize("size", [20, 100, 400])
@pytest.mark.parametrize("slow", [1, 3, 10, 50])
def test_a_loss_that_falls_to_the_last_is_told(size, slow):
    """Steeper and steeper, as with a batch that is the whole of the data."""
    lrs = np.geomspace(1e-6, 10, size)
    losses = np.exp(-np.cumsum(lrs) * 100 / size / slow)
    assert not risen(lrs, losses)
    assert (LARGER in reservations(lrs, losses)) is (slow >= 10)  # or it is done before
    assert risen(lrs, np.append(losses[:-2], [2, 3]))


@pytest.mark.parametrize("size", [20, 100, 400])
@pytest.mark.parametrize("noise", [0.05, 0.3])
def test_a_loss_that_rises_is_seldom_told_that_it_has_not(size, noise):
    lrs = np.geomspace(1e-6, 10, size)
    rng, told = np.random.default_rng(size), 0
    for _ in range(100):
        told += not risen(lrs, curve(lrs) + noise * rng.normal(size=size))
    assert told <= 1


@pytest.mark.parametrize("high", [1, 2])
def test_a_rise_that_only_the_last_losses_show_is_a_rise(high):
    losses = 0.5 + 1.8 / (1 + np.exp(4 * np.log10(LRS)))
    assert not risen(LRS, losses)
    losses[-high:] = 30
    assert risen(LRS, losses)
    assert suggest_lr(LRS, losses, "limit") < LRS[-1] / 4


@pytest.mark.parametrize(("stop", "told"), [(49, True), (50, False)])
def test_a_test_that_leaves_most_rates_is_told(stop, told):
    index = np.arange(100)
    losses = 2.3 - 1.8 * np.clip((index - 20) / 15, 0, 1) + 5 * (index > 40)
    losses = np.where(index < stop, losses, np.nan)
    assert (STOPPED in reservations(LRS, losses)) is told


def test_a_loss_that_ends_within_its_fall_has_not_risen():
    losses = np.where(np.arange(100) < 60, np.linspace(2, 1, 100), np.nan)
    assert not risen(LRS, losses)
    assert LARGER in reservations(LRS, losses)


@pytest.mark.parametrize(("size", "told"), [(20, True), (100, False)])
def test_few_points_are_told(size, told):
    lrs = np.geomspace(1e-6, 10, size)
    assert (FEW in reservations(lrs, curve(lrs))) is told


def test_few_are_fewer_than_ten():
    lrs, index, told = np.geomspace(1e-6, 10, 40), np.arange(40), {}
    for length in range(1, 15):
        losses = 2 - ((index - 15) / length).clip(0, 1) + ((index - 30) / 5).clip(0)
        read = reading("facts", lrs, losses).curve
        high = np.flatnonzero(read.height[: read.lowest] >= 0.9)[-1]
        told[int(read.lowest - high)] = FEW in reservations(lrs, losses)
    assert (told[9], told[10]) == (True, False)


@pytest.mark.parametrize(("noise", "told"), [(0.05, False), (0.36, False), (0.6, True)])
def test_noise_is_told(noise, told):
    assert (NOISE in reservations(LRS, curve(noise=noise))) is told


def test_the_noise_is_the_standard_deviation_of_a_loss():
    lrs = np.geomspace(1e-6, 10, 1000)
    rows = curve(lrs) + 0.1 * np.random.default_rng(0).normal(size=(5, 1000))
    noise = [reading("facts", lrs, row).facts.noise for row in rows]
    np.testing.assert_allclose(np.mean(noise), 0.1, rtol=0.05)


def test_a_rise_is_seen_where_the_loss_is_small_beside_the_noise_of_its_start():
    rng = np.random.default_rng(0)
    losses = 0.02 + 10 / (1 + np.exp(8 * (np.log10(LRS) + 3)))
    losses *= 1 + 0.1 * rng.normal(size=100)
    assert not risen(LRS, losses)
    losses[-6:] = 0.03, 0.06, 0.12, 0.25, 0.5, 1
    assert risen(LRS, losses)


@pytest.mark.parametrize(("growth", "told"), [(1.9, True), (2.1, False)])
def test_a_small_loss_has_risen_where_it_is_four_times_what_it_was(growth, told):
    """The middle of the last five is two steps behind that at the end of the fall."""
    losses = 0.01 + 10 / (1 + np.exp(8 * (np.log10(LRS) + 3)))
    losses *= 1 + 0.1 * np.random.default_rng(0).normal(size=100)
    losses[-7:] = 0.01 * growth ** np.arange(7)
    assert risen(LRS, losses) is not told


@pytest.mark.parametrize(("rise", "told"), [(0, True), (0.4, False)])
def test_a_rise_counts_where_means_show_it_above_their_own_noise(rise, told):
    """It is less than four times the noise of a loss, of which means have a tenth."""
    lrs, index = np.geomspace(1e-6, 10, 1000), np.arange(1000)
    noise = 0.2 * np.random.default_rng(0).choice([-1, 1], 1000)
    losses = 6 + noise - np.interp(index, [300, 600, 850, 900], [0, 1, 1, 1 - rise])
    assert risen(lrs, losses) is not told


def test_what_cannot_be_read_has_no_reservations():
    assert reservations(LRS, np.ones(100)) == ()
    assert reservations(LRS[::-1], curve()) == ()
    assert reservations(LRS, np.full(100, np.nan)) == ()


def swinging(size, momentum, curvatures):
    """Returns rates around the stable limit, and the losses of heavy-ball descent."""
    lrs = np.geomspace(1e-4, 1e2, size) / curvatures.max()
    place, step = np.ones(curvatures.size), np.zeros(curvatures.size)
    losses = []
    for lr in lrs:
        losses.append(min(curvatures @ place**2, 1e6))
        step = momentum * step - lr * curvatures * place
        place = np.clip(place + step, -1e6, 1e6)
    losses = np.array(losses)
    over = losses > 4 * losses[0]
    return lrs, np.where(np.cumsum(over) < 2, losses, np.nan)


@pytest.mark.parametrize("momentum", [0.8, 0.9, 0.95])
@pytest.mark.parametrize("size", [200, pytest.param(400, marks=pytest.mark.slow)])
@pytest.mark.parametrize("directions", [1, 3, 10])
def test_momentum_that_swings_is_read_at_its_limit(momentum, size, directions):
    curvatures = 10.0 ** -np.linspace(0, 1, directions)
    limit = 2 * (1 + momentum)
    curve = swinging(size, momentum, curvatures)
    assert limit / 6 < suggest_lr(*curve, "limit") < limit / 2
    assert suggest_bounds(*curve)[1] < limit / 2


@pytest.mark.parametrize(("back", "read"), [(0.05, False), (0.2, True)])
def test_a_hump_counts_unless_the_loss_comes_back_down(back, read):
    """One of 40 % of the fall, 15 points long, as networks have it with momentum."""
    index = np.arange(100)
    hump = 0.4 * np.exp(-(((index - 72) / 4) ** 2))
    height = np.clip((60 - index) / 30, 0, 1) + hump + back * (index > 72)
    height += np.expm1((index - 88).clip(0) / 2)
    limit = suggest_lr(LRS, 0.5 + 1.8 * height, "limit")
    assert bool(limit < LRS[72]) is read
    assert limit > LRS[60] / 4


def test_a_loss_solved_to_the_last_digit_is_not_read_beyond():
    """Nothing can grow from there, so larger rates look as good as they like."""
    lrs = np.geomspace(1e-3, 1e3, 400)
    losses = 10.0 ** -np.clip(np.arange(400) / 10 - 5, 0, 30)
    solved = lrs[np.argmax(losses < 1e-24)]
    limit = suggest_lr(lrs, losses, "limit")
    np.testing.assert_allclose(limit, solved, rtol=0.2)
    assert suggest_bounds(lrs, losses)[1] <= limit


@pytest.mark.parametrize(("digits", "found"), [(23, False), (25, True)])
def test_a_loss_is_solved_when_24_digits_of_it_are_gone(digits, found):
    lrs = np.geomspace(1e-3, 1e3, 400)
    losses = 10.0 ** -np.clip(np.arange(400) / 10 - 5, 0, digits)
    assert bool(suggest_lr(lrs, losses, "limit") < lrs[-1] / 2) is found


@pytest.mark.parametrize("below", [1, 5])
def test_what_is_read_does_not_depend_on_where_zero_is(below):
    losses = curve()
    bounds = suggest_bounds(LRS, losses)
    np.testing.assert_allclose(suggest_bounds(LRS, losses - below), bounds, rtol=1e-4)
    limits = [suggest_lr(LRS, each, "limit") for each in (losses, losses - below)]
    np.testing.assert_allclose(*limits, rtol=0.1)
    never_rising = 0.5 + 1.8 / (1 + np.exp(4 * (np.log10(LRS) + 2)))
    assert not risen(LRS, never_rising - below)


def test_a_jump_counts_for_at_most_twenty_times_a_step():
    def limit(jump):
        falling = 2.3 - 1.8 * ((np.arange(100) - 20) / 20).clip(0, 1)
        return suggest_lr(LRS, np.where(np.arange(100) < 70, falling, jump), "limit")

    np.testing.assert_allclose(limit(0.5 * 10**2), LRS[69] / (1 + 10), rtol=1e-4)
    np.testing.assert_allclose(limit(0.5 * 19**2), LRS[69] / (1 + 19), rtol=1e-4)
    np.testing.assert_allclose(limit(0.5 * 99**2), LRS[69] / (1 + 20), rtol=1e-4)


@pytest.mark.parametrize(
    ("size", "lowest", "head"),
    [(100, 99, 20), (100, 50, 16), (100, 20, 11), (20, 19, 5)],
)
def test_a_curve_starts_at_the_lower_quartile_of_its_first_losses(size, lowest, head):
    """A fifth of all, or a third of those before the lowest, but more than a tenth."""
    index = np.arange(size)
    losses = 3 - index / size + (index - lowest).clip(0)
    lrs = np.geomspace(1e-6, 10, size)
    start = reading("facts", lrs, losses).facts.start
    quartile = np.interp(0.75 * (head - 1), index, losses)
    np.testing.assert_allclose(start, quartile, rtol=1e-5)


def test_a_rise_counts_for_twice_the_fall_at_most():
    """In the means, so that a rise that is no more than that moves nothing else."""
    falls = np.linspace(2, 1, 60)
    heights = [
        reading("curve", LRS, np.append(falls, np.full(40, 1 + rise))).curve.height
        for rise in (1.5, 2.1, 1e3)
    ]
    np.testing.assert_array_equal(heights[1], heights[2])
    assert (heights[0] < heights[1])[65:].all()


def test_the_fall_is_counted_from_the_first_tenth_where_that_is_above_the_start():
    losses = np.linspace(2, 1, 100)
    facts = reading("facts", LRS, losses).facts
    assert facts.start < 1.9
    np.testing.assert_allclose(facts.fall, losses[5] - losses[-6], rtol=0.01)


@pytest.mark.parametrize(("share", "read"), [(0.8e-4, False), (1.2e-4, True)])
def test_a_fall_of_less_than_a_ten_thousandth_is_refused(share, read):
    losses = 1 - share * ((np.arange(100) - 30) / 30).clip(0, 1)
    if read:
        assert LRS[30] < suggest_lr(LRS, losses) < LRS[60]
    else:
        with pytest.raises(ValueError, match=r"got a fall of 8e-05 from 1"):
            suggest_lr(LRS, losses)


@pytest.mark.parametrize("setting", TOGETHER_OR_ALONE)
def test_strict_settings_read_the_same(setting):
    losses = curve(noise=0.02)
    stopped = np.where(np.arange(100) < 90, losses, np.nan)
    jax.clear_caches()  # what is traced already is checked no more
    with SETTINGS[setting]():
        strict = [float(suggest_lr(LRS, losses, rule)) for rule in RULES]
        base_lr, max_lr = suggest_bounds(LRS, losses)
        suggest_bounds(LRS, stopped)
        reservations(LRS, stopped)
        mapped = jax.vmap(suggest_bounds)(np.stack([LRS] * 2), np.stack([losses] * 2))
        with pytest.raises(ValueError, match="losses that fall"):
            suggest_lr(LRS, np.ones(100))
    assert strict == [float(suggest_lr(LRS, losses, rule)) for rule in RULES]
    assert suggest_bounds(LRS, losses) == (base_lr, max_lr)
    np.testing.assert_allclose(mapped[1], max_lr, rtol=1e-6)


def test_double_precision_is_kept():
    with jax.enable_x64(True):
        rate = suggest_lr(LRS, curve())
        assert rate.dtype == jnp.float64
        assert rate in LRS
        assert reservations(LRS, curve()) == ()


def test_values_compile_nothing_anew():
    suggest_lr(LRS, curve())
    with jax.log_compiles(), pytest.MonkeyPatch.context() as patch:
        compiled = []
        patch.setattr(
            "logging.Logger.log", lambda *args, **kwargs: compiled.append(args)
        )
        for stop in (100, 90, 60):
            losses = np.where(np.arange(100) < stop, curve(centre=-3.0), np.nan)
            suggest_lr(LRS * 1.1, losses, "steep")
            suggest_bounds(LRS, losses)
            reservations(LRS, losses)
    assert compiled == []

"""Curves with known answers: a fall centred on 10**-2.5, then a rise."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from clr_core import suggest_bounds, suggest_lr
from clr_core._clean import _smooth
from clr_core._reading import reading

RULES = ("valley", "slide", "steep", "minimum", "smith", "limit")
CENTRE = 10**-2.5
SIZES = (20, 100, 400)


def curve(size, noise=0.0, seed=0):
    """Rates, and a loss that falls from 2.3 to 0.5 and rises again from 0.3 on."""
    lrs = np.geomspace(1e-7, 10, size)
    log = np.log10(lrs)
    losses = 0.5 + 1.8 / (1 + np.exp(4 * (log + 2.5)))
    losses += np.where(lrs > 0.3, 2 * (lrs / 0.3 - 1), 0)
    return lrs, losses * (1 + noise * np.random.default_rng(seed).normal(size=size))


def max_lrs(lrs):
    """By the formula, the max_lr of a curve whose fall is done at each of the rates."""
    return np.cbrt(lrs * (np.cumsum(lrs) / 20) ** 2)


def stops(size):
    """The max_lr of the curve by the formula, at the rate where 7 % are left."""
    rate = CENTRE * 10 ** (np.log(1 / 0.07 - 1) / 4)
    return rate * max_lrs(spacing(size) ** np.arange(-1000.0, 1))[-1]


def read(lrs, losses):
    """Every rule's rate, then both bounds."""
    rates = [float(suggest_lr(lrs, losses, rule)) for rule in RULES]
    return np.array([*rates, *map(float, suggest_bounds(lrs, losses))])


def spacing(size):
    return (10 / 1e-7) ** (1 / (size - 1))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("noise", [0.0, 0.01])
@pytest.mark.parametrize("seed", range(3))
def test_rules_read_a_known_curve(size, noise, seed):
    lrs, losses = curve(size, noise, seed)
    valley, slide, steep, minimum, smith, limit, base_lr, max_lr = read(lrs, losses)
    step = spacing(size)
    assert CENTRE / step < steep < CENTRE * step**1.01 or np.isclose(
        steep, CENTRE, rtol=0.5
    )
    assert CENTRE / 10**0.7 < valley < CENTRE * 10**0.3
    assert CENTRE / 10 < slide < CENTRE
    assert 0.003 < minimum < 0.04
    assert 0.02 < limit < 0.3
    assert smith == max_lr
    assert stops(size) / 1.05 < max_lr < stops(size) * step**1.05 * 10**0.1
    np.testing.assert_allclose(base_lr, max_lr / 10, rtol=1e-6)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("seed", range(5))
def test_noise_at_tiny_rates_does_not_win(size, seed):
    lrs, losses = curve(size, 0.01, seed)
    np.testing.assert_array_less(1e-5, read(lrs, losses))


@pytest.mark.parametrize("first", [0, 1, 5])
@pytest.mark.parametrize("height", [5.0, 1e6])
def test_an_early_spike_changes_nothing(first, height):
    lrs, losses = curve(100)
    spiked = losses.copy()
    spiked[first : first + 2] = height
    np.testing.assert_allclose(read(lrs, spiked), read(lrs, losses), rtol=0.25)


@settings(deadline=None, max_examples=20)
@given(st.integers(75, 99), st.sampled_from([np.nan, np.inf, -np.inf]))
def test_what_follows_the_first_nonfinite_loss_is_left_out(first, value):
    lrs, losses = curve(100, 0.01)
    cut = np.concatenate([losses[:first], [value], losses[first + 1 :]])
    padded = np.concatenate([losses[:first], np.full(100 - first, np.nan)])
    np.testing.assert_array_equal(read(lrs, cut), read(lrs, padded))


@pytest.mark.parametrize("losses", [curve(100, 0.01)[1], np.linspace(3, 1, 100)])
def test_a_padded_curve_reads_like_a_short_one(losses):
    """One that has risen, and one that falls to its end."""
    lrs, _ = curve(100)
    padded = np.where(np.arange(100) < 90, losses, np.nan)
    np.testing.assert_array_equal(read(lrs, padded), read(lrs[:90], losses[:90]))


@pytest.mark.parametrize("points", [100, 60])
def test_means_of_a_ramp_are_the_ramp_up_to_both_ends(points):
    ramp = np.arange(100, dtype=np.float32)
    smooth = _smooth(ramp, points, 5)
    np.testing.assert_allclose(smooth[:points], ramp[:points], atol=1e-4)


def test_a_loss_of_zero_is_read_as_one_just_above():
    lrs, losses = curve(100, 0.01)
    zero = losses - losses.min()
    np.testing.assert_allclose(read(lrs, zero), read(lrs, zero + 1e-6), rtol=1e-2)


@settings(deadline=None, max_examples=25)
@given(st.integers(5, 40), st.integers(10, 40))
@example(5, 35)
def test_valley_is_the_middle_of_the_fall(first, length):
    lrs = 2.0 ** np.linspace(-20, 0, 100)
    losses = 3 - 2 * np.clip((np.arange(100) - first) / length, 0, 1)
    found = int(np.argmin(np.abs(lrs - float(suggest_lr(lrs, losses)))))
    assert abs(found - (first + length / 2)) < 3


@pytest.mark.parametrize("at", [20, 50, 70])
def test_steep_is_the_steepest_place_in_the_log_of_the_rate(at):
    lrs = np.geomspace(1e-6, 1, 100)
    losses = 2 - np.tanh((np.arange(100) - at) / 6)
    assert suggest_lr(lrs, losses, "steep") == np.float32(lrs[at])


@pytest.mark.parametrize("size", [100, 300])
def test_noise_moves_no_rule_past_the_lowest_or_before_the_fall(size):
    lrs, losses = curve(size)
    noise = np.random.default_rng(size).normal(size=(200, size))
    losses = np.float32(losses + 0.65 * noise)
    valley, steep, minimum = (
        jax.vmap(lambda row, rule=rule: suggest_lr(lrs, row, rule))(losses)
        for rule in ("valley", "steep", "minimum")
    )
    read = np.isfinite(valley)
    assert read.sum() > 160
    lowest = 10.001 * minimum[read]
    assert (valley[read] <= lowest).all()
    assert (steep[read] <= lowest).all()
    assert np.mean(np.abs(np.log10(steep[read] / CENTRE)) < 1) > 0.98


@pytest.mark.parametrize(("left", "found"), [(0.05, False), (0.2, True)])
def test_steep_looks_until_a_tenth_of_the_fall_is_left(left, found):
    """The last part falls at once, where rates are dense, the rest over 60 points."""
    index = np.arange(100)
    lrs = 1e-6 * np.cumprod(np.where(index < 68, 1.2, 1.02))
    losses = 2 - (1 - left) * np.clip((index - 5) / 60, 0, 1) - left * (index >= 75)
    rate = suggest_lr(lrs, losses, "steep")
    assert bool(abs(index_of(rate, lrs) - 75) < 6) is found


def test_steep_looks_before_the_lowest_only():
    lrs, losses = curve(100)
    spiked = np.where(np.isin(np.arange(100), range(82, 88)), 9, losses)
    assert suggest_lr(lrs, spiked, "steep") == suggest_lr(lrs, losses, "steep")


@pytest.mark.parametrize(("bend", "late"), [(0.0045, True), (0.0055, False)])
def test_slopes_are_alike_within_half_a_percent_of_the_fall(bend, late):
    """By how much the fall on a percent of the points differs 15 % of them apart."""
    index = np.arange(100)
    place = ((index - 20) / 60).clip(0, 1)
    losses = 3 - place * (1 + 120 * bend * (1 - place))
    losses += np.expm1((index - 85).clip(0) / 3)
    lrs = np.geomspace(1e-6, 10, 100)
    found = index_of(suggest_lr(lrs, losses, "slide"), lrs)
    assert (50 < found < 65) if late else (20 < found < 35)


def test_minimum_is_a_tenth_of_the_lowest():
    lrs = np.geomspace(1e-6, 1, 100)
    losses = 1 + (np.arange(100) - 70.0) ** 2 / 100
    np.testing.assert_allclose(suggest_lr(lrs, losses, "minimum"), lrs[70] / 10, 1e-6)


@settings(deadline=None, max_examples=20)
@given(st.integers(2, 30), st.floats(0.2, 3.0))
def test_limit_is_half_the_rate_that_the_growth_tells(rises, excess):
    """Losses that grow by (1 - lr L)**2 have their limit at 2 / L."""
    lrs = 2.0 ** np.linspace(-20, 0, 100)
    lowest = 60
    limit = lrs[lowest] * 2 / (2 + excess)
    growth = np.where(np.arange(99) >= lowest, (1 - lrs[:-1] * 2 / limit) ** 2, 1)
    losses = np.cumprod([1.0, *growth]) * np.where(np.arange(100) < 40, 100, 1)
    losses = np.where(np.arange(100) < lowest + rises, losses, np.nan)
    half = suggest_lr(lrs, losses, "limit")
    np.testing.assert_allclose(half, limit / 2, rtol=1e-3)


def test_the_limit_of_a_falling_curve_is_half_the_last_rate():
    lrs = np.geomspace(1e-4, 1, 100)
    assert suggest_lr(lrs, np.linspace(3, 1, 100), "limit") == 0.5


@pytest.mark.parametrize("at", [55, 80, 95, 98])
def test_a_loss_that_is_low_by_chance_sets_no_limit(at):
    lrs, index = np.geomspace(1e-6, 10, 100), np.arange(100)
    losses = 2 - np.clip((index - 30) / 20, 0, 1) - 0.8 * (index == at)
    assert suggest_lr(lrs, losses, "limit") == 5


def test_a_jump_counts_as_one_of_four_hundred_times_at_most():
    lrs, losses = curve(100)
    losses[70:] = 1e4
    limit = 2 * lrs[69] / (1 + 400**0.5) / 2
    np.testing.assert_allclose(suggest_lr(lrs, losses, "limit"), limit, rtol=1e-3)


def steps(size, first, second=None, level=0.0, ratio=1.15):
    """Rates, and losses that fall in one step, or in two with a level between them.

    Around the steps, neighbouring rates are as far apart as the ratio says. The losses
    rise for good in the last eighth, at rates that are much larger.
    """
    index = np.arange(size)
    second = first if second is None else second
    ratios = np.where(index < first - size // 8, 1.1, ratio)
    ratios[second + size // 16 + 1 :][:3] = 10
    losses = 1 + np.where(index < first, 1, np.where(index < second, level, 0.0))
    rises = index >= size - max(5, size // 8)
    return 1e-6 * np.cumprod(ratios), np.where(rises, 50, losses)


def index_of(rate, lrs):
    return int(np.argmin(np.abs(np.log(lrs) - np.log(float(rate)))))


@pytest.mark.parametrize(
    "size", [20, 100, *(pytest.param(n, marks=pytest.mark.slow) for n in (24, 45, 60))]
)
def test_max_lr_is_the_rate_where_the_fall_is_done_by_a_power_of_its_steps(size):
    """Means over a tenth end a step half a tenth behind it."""
    lrs, losses = steps(size, size // 2)
    done = size // 2 + size // 20
    max_lr = suggest_bounds(lrs, losses)[1]
    np.testing.assert_allclose(max_lr, max_lrs(lrs)[done], rtol=1e-4)


@pytest.mark.parametrize("size", [100, 400])
@pytest.mark.parametrize("ratio", [1.02, 1.05, 1.2])
@pytest.mark.parametrize("part", [0.95, 1.05])
def test_the_fall_is_done_but_for_seven_percent(size, ratio, part):
    first, second = int(0.45 * size), int(0.75 * size)
    lrs, losses = steps(size, first, second, part * 0.07, ratio)
    found = index_of(suggest_bounds(lrs, losses)[1], max_lrs(lrs))
    assert (found > (first + second) / 2) == (part > 1)


@pytest.mark.parametrize("times", [3, pytest.param(10, marks=pytest.mark.slow)])
def test_max_lr_does_not_move_with_the_length_where_it_is_the_sum_that_counts(times):
    """The loss depends on the sum of the rates, of which there are so many more."""
    found = []
    for size in (200, 200 * times):
        lrs = np.geomspace(1e-6, 10, size)
        done = np.cumsum(lrs)
        losses = 1 + 2 * np.exp(-100 * done) + np.expm1(lrs.clip(5) - 5)
        found.append(float(suggest_bounds(lrs, losses)[1]))
    assert times**-0.4 < found[1] / found[0] < 1


@pytest.mark.parametrize("size", [100, 400])
def test_the_first_rate_at_which_the_fall_is_done_counts(size):
    lrs, losses = curve(size)
    again = losses + 0.5 * np.exp(-(((np.log10(lrs) + 0.9) / 0.15) ** 2))
    bounds = suggest_bounds(lrs, losses)
    np.testing.assert_allclose(suggest_bounds(lrs, again), bounds, rtol=0.3)


@pytest.mark.parametrize("ratio", [0.125, 8.0])
def test_bounds_are_in_the_unit_of_the_rates(ratio):
    lrs, losses = curve(100, 0.01)
    bounds = np.array(suggest_bounds(lrs, losses))
    np.testing.assert_allclose(suggest_bounds(ratio * lrs, losses), ratio * bounds)


@pytest.mark.parametrize("noise", [0.0, 0.01])
@pytest.mark.parametrize("flat", [10, 60])
def test_a_range_that_begins_earlier_gives_the_same_bounds(noise, flat):
    lrs, losses = curve(100, noise)
    before = lrs[0] / spacing(100) ** np.arange(flat, 0, -1)
    wide = np.append(before, lrs), np.append(np.full(flat, losses[0]), losses)
    np.testing.assert_allclose(
        suggest_bounds(*wide)[1], suggest_bounds(lrs, losses)[1], rtol=0.25
    )


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10_000), st.sampled_from(SIZES), st.floats(0, 0.05))
def test_bounds_are_a_tenth_apart_and_below_the_limit(seed, size, noise):
    lrs, losses = curve(size, noise, seed)
    assume(reading("", lrs, losses).sound)  # one in a hundred is not, at most
    base_lr, max_lr = suggest_bounds(lrs, losses)
    np.testing.assert_allclose(base_lr, max_lr / 10, rtol=1e-6)
    assert max_lr <= suggest_lr(lrs, losses, "limit")


def test_a_fall_that_noise_may_give_is_not_said_to_be_none():
    """Refused, though it is most of the loss: its noise drifts."""
    lrs, losses = curve(100, 0.0390625, 9064)
    with pytest.raises(ValueError, match=r"noise alone may, got a fall of 1\.81 from"):
        suggest_bounds(lrs, losses)


def test_a_loss_that_diverges_at_once_is_read_at_its_limit():
    """What a few steps before the end of the fall is still above the limit."""
    index = np.arange(100)
    losses = np.where(index < 60, 2.0, np.where(index < 66, 1.0, 1e3))
    lrs = np.geomspace(1e-6, 10, 100)
    assert suggest_bounds(lrs, losses)[1] == suggest_lr(lrs, losses, "limit")


@pytest.mark.parametrize("scale", [2.0**-20, 0.5, 2.0**20])
def test_the_unit_of_the_loss_does_not_matter(scale):
    lrs, losses = curve(100, 0.01)
    np.testing.assert_array_equal(read(lrs, scale * losses), read(lrs, losses))


@pytest.mark.parametrize("shift", [-5, 5, 50])
def test_what_is_added_to_the_losses_does_not_matter(shift):
    lrs, losses = curve(100)
    rates, shifted = read(lrs, losses), read(lrs, losses + shift)
    limit = RULES.index("limit")
    np.testing.assert_allclose(shifted[limit], rates[limit], rtol=0.2)
    np.testing.assert_allclose(np.delete(shifted, limit), np.delete(rates, limit))


@pytest.mark.parametrize("rule", ["valley", "limit"])
def test_jit_and_vmap_read_what_eager_reads(rule):
    lrs, _ = curve(100)
    losses = np.stack([curve(100, 0.02, seed)[1] for seed in range(4)])
    eager = [suggest_lr(lrs, row, rule) for row in losses]
    mapped = jax.vmap(lambda row: suggest_lr(lrs, row, rule))(losses)
    np.testing.assert_allclose(mapped, eager, rtol=1e-6)
    compiled = jax.jit(lambda a, b: suggest_lr(a, b, rule))(lrs, losses[0])
    np.testing.assert_allclose(compiled, eager[0], rtol=1e-6)


def test_traced_callers_get_nan_for_what_cannot_be_read():
    lrs, losses = curve(100)
    flat, tail = np.ones(100), np.where(np.arange(100) < 9, losses, np.nan)
    rows = np.stack([losses, flat, tail])
    for rule in RULES:
        rates = jax.vmap(lambda row, rule=rule: suggest_lr(lrs, row, rule))(rows)
        assert np.isnan(rates).tolist() == [False, True, True]
    bounds = jax.jit(suggest_bounds)(lrs[::-1], losses)
    assert np.isnan(bounds).all()


@pytest.mark.parametrize(
    "kind", [list, tuple, np.asarray, jnp.asarray, lambda a: np.asarray(a, np.float32)]
)
def test_any_trainers_numbers_are_accepted(kind):
    lrs, losses = curve(100)
    np.testing.assert_allclose(read(kind(lrs), kind(losses)), read(lrs, losses), 1e-5)
    assert suggest_lr(kind(lrs), kind(losses)).dtype == jnp.float32


def test_whole_numbers_and_half_precision_are_accepted():
    losses = [30, 30, 30, 30, 25, 20, 15, 10, 5, 5, 20, 40]
    lrs = 2.0 ** np.arange(-10, 2)
    assert suggest_lr(lrs, losses) == suggest_lr(lrs, jnp.bfloat16(losses))


LRS, LOSSES = curve(20)
NOISE = 2.0 + 0.3 * np.random.default_rng(0).normal(size=20)


@pytest.mark.parametrize(
    ("lrs", "losses", "error", "match"),
    [
        (LRS, "abc", TypeError, "losses to be a vector of real numbers, got str"),
        (None, LOSSES, TypeError, "lrs to be a vector of real numbers, got NoneType"),
        (LRS, LOSSES + 1j, TypeError, "got ndarray of dtype complex128"),
        (LRS, LOSSES > 1, TypeError, "got ndarray of dtype bool"),
        (LRS, [[1.0], [1.0, 2.0]], TypeError, "vector of real numbers, got list: "),
        (LRS, [10**400] * 20, TypeError, "got list of dtype object"),
        (LRS, LOSSES[None], ValueError, r"got shape \(1, 20\), use jax.vmap"),
        (3.0, LOSSES, ValueError, r"lrs to be a vector, got shape \(\)"),
        (LRS, LOSSES[1:], ValueError, "one loss for each rate, got 20 lrs and 19"),
        (LRS[:9], LOSSES[:9], ValueError, "at least 10 points, got 9, take more"),
        ([], [], ValueError, "at least 10 points, got 0"),
        (
            LRS[::-1],
            LOSSES,
            ValueError,
            r"strictly increasing lrs .*got lrs\[1\]=3\.79\d* after 10\.0",
        ),
        (LRS * 0, LOSSES, ValueError, r"of 1e-30 or more .*got lrs\[0\]=0.0\.$"),
        (-LRS, LOSSES, ValueError, r"got lrs\[0\]=-1"),
        (LRS * np.nan, LOSSES, ValueError, r"finite, .*got lrs\[0\]=nan"),
        (LRS * 1e300, LOSSES, ValueError, r"got lrs\[0\]=inf"),
        ([*LRS[:-1], np.inf], LOSSES, ValueError, r"got lrs\[19\]=inf after"),
        (LRS, LOSSES * np.nan, ValueError, "10 finite losses, got 0 before the first"),
        (
            LRS,
            LOSSES * 0 + 2,
            ValueError,
            "losses that fall, got a fall of 0 from 2, test larger rates",
        ),
        (
            LRS,
            LRS,
            ValueError,
            "losses that fall, got a rise of .*, test smaller rates",
        ),
        (
            LRS,
            NOISE,
            ValueError,
            r"more than 0\.9.*, as noise alone may, got a fall of 0\.2.* in noise of "
            r"0\.2.*, take larger batches or more steps, or test larger rates",
        ),
    ],
)
def test_errors_say_what_is_needed(lrs, losses, error, match):
    with pytest.raises(error, match=f"^suggest_lr needs .*{match}"):
        suggest_lr(lrs, losses)
    with pytest.raises(error, match=f"^suggest_bounds needs .*{match}"):
        suggest_bounds(lrs, losses)


def test_a_fall_within_the_first_few_losses_is_told():
    index = np.arange(100)
    losses = 2 + 0.9 * np.exp(-index / 4)
    losses += 0.4 * np.random.default_rng(1).normal(size=100)
    match = (
        "as noise alone may, .*, end at smaller rates, the loss falls within the fir"
    )
    with pytest.raises(ValueError, match=match):
        suggest_lr(np.geomspace(1e-6, 1, 100), losses)


def test_noise_alone_is_seldom_taken_for_such_a_fall():
    told = []
    for seed in range(100):
        losses = 2.3 + 0.1 * np.random.default_rng(seed).normal(size=100)
        try:
            suggest_lr(np.geomspace(1e-6, 1, 100), losses)
        except ValueError as error:
            told.append(str(error))
    assert len(told) > 90
    assert sum("end at smaller rates" in text for text in told) < 10
    assert sum("a rise of" in text for text in told) < 5


def test_one_high_loss_at_first_is_no_such_fall():
    losses = 2.3 + 0.1 * np.random.default_rng(0).normal(size=100)
    losses[0] = 30
    with pytest.raises(ValueError, match=r"as noise alone may, .*, take larger batch"):
        suggest_lr(np.geomspace(1e-6, 1, 100), losses)


UNLEARNED = "a rise of .*, nothing is learned at any rate: take more steps or larger "


@pytest.mark.parametrize("noise", [0.0, 0.05, 0.3])
@pytest.mark.parametrize(
    ("flat", "hint"),
    [
        (0, "a rise of .*, test smaller rates"),
        (20, "a rise of .*, test smaller rates"),
        (50, UNLEARNED),
        (80, UNLEARNED),
    ],
)
def test_a_rise_from_the_first_rates_asks_for_smaller_ones(flat, hint, noise):
    index = np.arange(100)
    losses = 2 + 0.1 * (index - flat).clip(0)
    losses += noise * np.random.default_rng(1).normal(size=100)
    with pytest.raises(ValueError, match=hint):
        suggest_lr(np.geomspace(1e-6, 1, 100), losses)


@pytest.mark.parametrize(
    ("flat", "hint"), [(32, "a rise of .*, test smaller rates"), (35, UNLEARNED)]
)
def test_a_rise_is_from_the_first_rates_on_until_a_third_of_them(flat, hint):
    losses = 2 + 0.1 * (np.arange(100) - flat).clip(0)
    with pytest.raises(ValueError, match=hint):
        suggest_lr(np.geomspace(1e-6, 1, 100), losses)


@pytest.mark.parametrize(
    ("times", "hint"), [(1.9, UNLEARNED), (2.2, "a rise of .*, test smaller rates")]
)
def test_losses_rise_where_they_are_twice_the_noise_above_the_start(times, hint):
    """They do by a step after 20 of 100, and at 60 for good; a fifth are spikes."""
    index, lrs = np.arange(100), np.geomspace(1e-6, 1, 100)
    losses = 2 + 0.5 * (index % 5 == 4) + 0.1 * (index - 60).clip(0)
    noise = reading("facts", lrs, losses).facts.noise
    with pytest.raises(ValueError, match=hint):
        suggest_lr(lrs, losses + times * noise * (index >= 20))


def test_a_divergence_behind_flat_losses_asks_for_more_than_smaller_rates():
    losses = np.append(np.full(80, 2.0), 2.0 ** np.arange(2, 22))
    match = UNLEARNED + "batches, start from params .* trained for a while, or use lr_s"
    with pytest.raises(ValueError, match=match):
        suggest_bounds(np.geomspace(1e-6, 10, 100), losses)


def test_errors_of_shape_are_raised_under_a_trace():
    with pytest.raises(ValueError, match="one loss for each rate"):
        jax.jit(suggest_lr)(LRS, LOSSES[1:])
    with pytest.raises(ValueError, match="at least 10 points"):
        jax.jit(suggest_bounds)(LRS[:5], LOSSES[:5])


def test_unknown_rules_are_named():
    with pytest.raises(ValueError, match="got rule='vally', did you mean 'valley'"):
        suggest_lr(LRS, LOSSES, "vally")
    with pytest.raises(ValueError, match="needs rule 'valley' or 'slide' or 'steep'"):
        suggest_lr(LRS, LOSSES, "x")
    with pytest.raises(TypeError, match="needs rule as text, got rule=3"):
        suggest_lr(LRS, LOSSES, 3)


ANY = st.floats(width=32) | st.floats(0, 10, width=32)
JUNK = st.none() | st.text() | st.booleans() | st.integers() | st.lists(st.text())
LISTS = st.sampled_from([9, 10, 11, 20]).flatmap(
    lambda n: st.lists(ANY, min_size=n, max_size=n)
)


def mostly(good, bad):
    return st.integers(0, 5).flatmap(lambda n: good if n else bad)


@st.composite
def curves(draw):
    """A curve that can be read, in any unit, with some of its losses changed."""
    size = draw(st.sampled_from([10, 11, 20]))
    changes = draw(st.dictionaries(st.integers(0, size - 1), ANY, max_size=3))
    unit, offset = 10.0 ** draw(st.integers(-35, 35)), draw(st.floats(-10, 10))
    noise = draw(st.sampled_from([0.0, 0.01, 0.1, 1.0]))
    losses = unit * (offset + curve(size, noise)[1])
    return [changes.get(i, loss) for i, loss in enumerate(losses.tolist())]


@settings(deadline=None, max_examples=200)
@given(
    losses=mostly(curves(), LISTS | JUNK),
    lrs=mostly(st.none(), LISTS | JUNK),
    rule=mostly(st.sampled_from(RULES), st.text() | st.integers()),
)
@example(losses=[3e38, 1.0, 1.0, 1.0, -3e38] * 5, lrs=None, rule="smith")
@example(losses=[1e-38] * 9 + [0.0], lrs=None, rule="steep")
@example(losses=[5.0] * 5 + [0.0] * 6, lrs=None, rule="smith")
def test_any_input_gives_a_rate_of_the_range_or_a_documented_error(losses, lrs, rule):
    if lrs is None and isinstance(losses, list):
        lrs = np.geomspace(1e-6, 10, max(len(losses), 1))
    try:
        rate = float(suggest_lr(lrs, losses, rule))
        base_lr, max_lr = map(float, suggest_bounds(lrs, losses))
    except (TypeError, ValueError) as error:
        documented = str(error).startswith(("suggest_lr needs", "suggest_bounds needs"))
    else:
        documented = True
        low, high = np.float32(np.min(lrs)), np.float32(np.max(lrs))
        assert low / 11 <= rate <= high
        assert 0 < base_lr < max_lr <= suggest_lr(lrs, losses, "limit") <= high
    assert documented

"""What comes back: a curve that reads itself, alone or with others."""

from dataclasses import FrozenInstanceError, replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from range_problems import problem, regression

from clr_core import suggest_bounds, suggest_lr
from clr_optax import RangeTest, lr_range_test
from clr_optax._range import readings
from clr_optax._range.raised import Raised

RULES = ["valley", "slide", "steep", "minimum", "smith", "limit"]


def curve(seed=0, fall=2.0, noise=0.05, size=100):
    """Rates, and losses that fall and rise, as another trainer may have logged them."""
    lrs = np.geomspace(1e-5, 1, size)
    place = np.log10(lrs)
    losses = 3 - fall / (1 + np.exp(-4 * (place + 2.5))) + 10.0 ** (4 * (place + 0.3))
    losses += noise * np.random.default_rng(seed).standard_normal(size)
    return lrs.tolist(), losses.tolist()


def flat(size=100):
    return (2 + 0.1 * np.random.default_rng(0).standard_normal(size)).tolist()


def test_it_reads_what_the_functions_read_as_plain_floats():
    test = lr_range_test(regression, *problem(), max_lr=100.0)
    bounds = test.bounds()
    assert [type(bound) for bound in bounds] == [float, float]
    assert bounds == tuple(map(float, suggest_bounds(test.lrs, test.losses)))
    assert type(test.suggest()) is float
    for rule in RULES:
        assert test.suggest(rule) == float(suggest_lr(test.lrs, test.losses, rule))
    assert test.suggest() == test.suggest("valley")


def test_lists_of_another_trainer_are_a_curve():
    lrs, losses = curve()
    test = RangeTest(lrs, losses)
    assert test.bounds() == tuple(map(float, suggest_bounds(lrs, losses)))
    accuracies = 1 - np.array(losses) / 10
    assert RangeTest(lrs, 1 - accuracies).bounds() == pytest.approx(test.bounds())


def test_several_curves_are_read_as_medians():
    lrs, _ = curve()
    losses = [curve(seed)[1] for seed in range(5)]
    test = RangeTest(lrs, losses)
    single = [RangeTest(lrs, one) for one in losses]
    assert test.bounds() == tuple(np.median([one.bounds() for one in single], axis=0))
    assert test.suggest("steep") == np.median([one.suggest("steep") for one in single])
    deep = RangeTest(lrs, np.reshape(losses[:4], (2, 2, 100)))
    assert deep.bounds() == RangeTest(lrs, losses[:4]).bounds()
    arrays = [RangeTest(np.array(lrs), np.array(one)) for one in losses]
    assert jax.tree.map(lambda *a: np.stack(a), *arrays).bounds() == test.bounds()


@pytest.mark.parametrize("rows", [2, 3])
def test_rates_of_a_row_are_those_of_all_its_curves(rows):
    """As of rates under vmap, with several keys in each."""
    lrs, _ = curve()
    scales = 10.0 ** np.arange(rows)
    losses = [[curve(seed)[1] for seed in range(3)]] * rows
    test = RangeTest(np.outer(scales, lrs), losses)
    middle = np.array(RangeTest(lrs, losses[0]).bounds())
    each = [RangeTest(scale * np.array(lrs), losses[0]).bounds() for scale in scales]
    np.testing.assert_allclose(each, np.outer(scales, middle), rtol=1e-5)
    by_curve = [RangeTest(lrs, one).bounds()[1] for one in losses[0]]
    expected = np.median(np.outer(scales, by_curve))
    assert test.bounds()[1] == pytest.approx(expected, rel=1e-5)


def test_it_says_how_many_of_several_can_be_read():
    lrs, losses = curve()
    most = RangeTest(lrs, [losses, losses, flat()])
    assert most.bounds() == RangeTest(lrs, losses).bounds()
    assert "no bounds (1 of 3)" in most.reservations()
    half = RangeTest(lrs, [losses, flat()])
    match = r"bounds needs more than half .*got 1 of 2, the first says: suggest_bounds"
    with pytest.raises(ValueError, match=match):
        half.bounds()
    with pytest.raises(ValueError, match=r"suggest needs more than half"):
        half.suggest("steep")


def test_reservations_of_several_are_counted():
    lrs, losses = curve()
    early = losses[:60] + [np.nan] * 40
    (alone,) = {*RangeTest(lrs, early).reservations()}
    assert alone.startswith("max_lr: ")
    several = RangeTest(lrs, [losses, early, losses])
    assert several.reservations() == (f"{alone} (1 of 3)",)


@pytest.mark.parametrize("show", [repr, RangeTest.plot, RangeTest.reservations])
@pytest.mark.parametrize("several", [1, 5])
def test_each_curve_is_read_once(show, several, monkeypatch):
    if show is RangeTest.plot:
        pytest.importorskip("matplotlib")
    read = []
    reading = readings.reading
    monkeypatch.setattr(
        readings, "reading", lambda *a, **b: read.append(a) or reading(*a, **b)
    )
    show(RangeTest(curve()[0], [curve(seed)[1] for seed in range(several)]))
    assert len(read) == several


def test_errors_are_those_of_the_functions():
    lrs, losses = curve()
    with pytest.raises(ValueError, match="suggest_bounds needs losses that fall"):
        RangeTest(lrs, flat()).bounds()
    with pytest.raises(ValueError, match="got rule='vally', did you mean 'valley'"):
        RangeTest(lrs, losses).suggest("vally")
    with pytest.raises(ValueError, match="a rate for each loss, got lrs of shape"):
        RangeTest([1, 2, 3], [[1, 2], [3, 4]]).bounds()
    with pytest.raises(ValueError, match="a rate for each loss, got lrs of shape"):
        RangeTest(np.ones((3, 20)), np.ones((2, 3, 20))).bounds()


def test_where_the_losses_end_is_told():
    """They do at what is not finite, at the stop, and where the loss raised."""
    lrs = np.geomspace(1e-6, 10, 100)
    for losses in (np.ones(100), np.linspace(1, 2, 100), 1 + 1e-5 * (lrs < 1e-4)):
        with pytest.raises(ValueError, match=r"[a-z]\.$"):
            RangeTest(lrs, losses).bounds()
        ended = np.where(np.arange(100) < 40, losses, np.nan)
        match = rf"There is no loss after the rate {lrs[39]:.3g}: .* look at the batch"
        with pytest.raises(ValueError, match=match):
            RangeTest(lrs, ended).bounds()
    raised = Raised(float(lrs[40]), "ValueError: bad file")
    with pytest.raises(ValueError, match=r"loss_fn raised at .*: bad file\.$"):
        RangeTest(lrs, ended, raised=raised).bounds()
    with pytest.raises(ValueError, match=r"got 0 before .*, look at params and the "):
        RangeTest(lrs, np.full(100, np.nan)).bounds()


def test_it_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        RangeTest([1.0], [2.0]).losses = [3.0]


@pytest.mark.parametrize("name", ["bounds", "suggest", "reservations", "plot"])
def test_tracers_are_told_where_to_go(name):
    def read(lrs):
        getattr(RangeTest(lrs, lrs), name)()

    match = f"RangeTest.{name} needs values that are known, suggest_bounds works under"
    with pytest.raises(TypeError, match=match):
        jax.jit(read)(jnp.ones(20))


def test_it_is_a_pytree_in_and_out_of_jit_and_vmap():
    test = RangeTest(*map(jnp.asarray, curve()))
    assert len(jax.tree.leaves(test)) == 2
    twice = jax.jit(lambda test: replace(test, losses=2 * test.losses))(test)
    np.testing.assert_allclose(twice.losses, 2 * test.losses)
    assert isinstance(twice, RangeTest)
    several = jax.vmap(lambda k: replace(test, losses=k * test.losses))(jnp.arange(3.0))
    assert several.losses.shape == (3, 100)


def test_it_has_no_methods_of_a_tuple():
    assert not {"count", "index", "_replace"} & set(dir(RangeTest))


def test_one_file_keeps_it_exactly(tmp_path):
    test = lr_range_test(regression, *problem(), max_lr=1e4)
    np.savez(tmp_path / "curve.npz", lrs=test.lrs, losses=test.losses)
    again = RangeTest(**np.load(tmp_path / "curve.npz"))
    np.testing.assert_array_equal(again.lrs, test.lrs)
    np.testing.assert_array_equal(again.losses, test.losses)
    assert again.losses.dtype == test.losses.dtype
    assert again.bounds() == test.bounds()
    assert repr(again) == repr(test)


def test_its_text_says_what_was_measured_and_read():
    lrs, losses = curve()
    base_lr, max_lr = RangeTest(lrs, losses).bounds()
    text = repr(RangeTest(lrs, losses[:80] + [np.nan] * 20))
    assert text.startswith("RangeTest(80 losses, rates 1e-05 to 1; bounds")
    assert f"bounds {base_lr:.3g} to {max_lr:.3g}" in repr(RangeTest(lrs, losses))
    several = repr(RangeTest(lrs, [losses, losses[:80] + [np.nan] * 20, flat()]))
    assert several.startswith("RangeTest(3 curves of 80 to 100 losses, rates 1e-05 to")
    assert "no bounds (1 of 3)" in several
    unread = repr(RangeTest(lrs, flat()))
    assert "; no bounds: suggest_bounds needs losses that fall" in unread
    early = RangeTest(lrs, losses[:40] + [np.nan] * 60)
    assert all(text in repr(early) for text in early.reservations())


@pytest.mark.parametrize("children", [(None, None), ("a", "b"), (object(), []), (1, 2)])
def test_its_text_never_fails(children):
    assert repr(RangeTest(*children))
    jax.jit(lambda lrs: (repr(RangeTest(lrs, lrs)), lrs)[1])(1.0)

"""The picture: what stands in it; how it looks is for eyes."""

import builtins

import jax.numpy as jnp
import numpy as np
import pytest
from test_range_curve import RULES, curve, flat

from clr_core._clean import clean
from clr_optax import RangeTest

plt = pytest.importorskip("matplotlib.pyplot")


@pytest.fixture(autouse=True)
def _no_window():
    plt.switch_backend("agg")
    yield
    plt.close("all")


def texts(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_one_curve_is_points_a_line_marks_and_a_range():
    test = RangeTest(*curve())
    ax = test.plot()
    points, line, *marks = ax.get_lines()
    np.testing.assert_array_equal(points.get_xydata(), np.transpose(curve()))
    assert len(line.get_xdata()) == 100
    assert [mark.get_xdata()[0] for mark in marks] == [test.suggest(r) for r in RULES]
    assert texts(ax)[2:] == [f"{rule} {test.suggest(rule):.3g}" for rule in RULES]
    base_lr, max_lr = test.bounds()
    (shaded,) = ax.patches
    shown = shaded.get_extents().transformed(ax.transData.inverted())
    assert [shown.x0, shown.x1] == pytest.approx([base_lr, max_lr])
    assert texts(ax)[:2] == ["smoothed loss", f"bounds {base_lr:.3g} to {max_lr:.3g}"]
    assert ax.get_xscale() == "log"
    ax.figure.canvas.draw()


def test_a_range_within_the_fall_is_drawn():
    """Half the last rate, and so max_lr, is below the first."""
    lrs = np.geomspace(0.01, 0.018, 100)
    test = RangeTest(lrs, np.linspace(3, 1, 100))
    assert test.bounds()[1] < lrs[0]
    low, high = test.plot().get_ylim()
    assert low < 1
    assert high > 3


def test_marks_lie_on_the_line():
    _, line, *marks = RangeTest(*curve(noise=0.0)).plot().get_lines()
    lrs, heights = np.log(line.get_xdata()), line.get_ydata()
    for mark in marks:
        expected = np.interp(np.log(mark.get_xdata()[0]), lrs, heights)
        assert mark.get_ydata()[0] == pytest.approx(expected)


def test_the_line_is_the_mean_of_medians():
    lrs, losses = curve()
    losses[40] = 1e6  # one spike does not show
    line = RangeTest(lrs, losses).plot().get_lines()[1].get_ydata()
    medians = [np.median(losses[max(i - 2, 0) :][:5]) for i in range(90)]
    for i in (0, 3, 40, 80):
        reach = min(i, 5)
        expected = np.mean(medians[i - reach : i + reach + 1])
        assert line[i] == pytest.approx(expected)


def test_the_line_is_what_the_rules_read():
    lrs, losses = curve()
    line = RangeTest(lrs, losses).plot().get_lines()[1].get_ydata()
    cleaned, _ = clean(jnp.asarray(lrs), jnp.asarray(losses))
    heights = cleaned.height[: cleaned.lowest]  # until the loss rises out of sight
    fall = line[: heights.size]
    shares = [(x - x.min()) / np.ptp(x) for x in (np.array(heights), fall)]
    np.testing.assert_allclose(*shares, atol=1e-5)


@pytest.mark.parametrize("inches", [(6, 4), (9, 4), (14, 8)])
def test_legend_and_notes_fit_their_axes(inches):
    lrs, losses = curve()
    figure = plt.figure(figsize=inches, layout="constrained")
    left, right = figure.subplots(1, 2)
    RangeTest(lrs, losses).plot(left)
    ax = RangeTest(lrs, np.ones(len(lrs))).plot(right)
    figure.canvas.draw()
    legend, axes = left.get_legend().get_window_extent(), left.get_window_extent()
    assert legend.height < axes.height
    note = ax.xaxis.label.get_window_extent()
    assert note.width < 1.3 * ax.get_window_extent().width
    assert note.y0 >= 0


def test_several_curves_are_a_median_in_a_band():
    lrs = curve()[0]
    test = RangeTest(lrs, [curve(seed)[1] for seed in range(5)])
    ax = test.plot()
    assert texts(ax)[0] == "smoothed, median of 5"
    (band,) = ax.collections
    assert len(ax.get_lines()) == 5 + 1 + len(RULES)
    middle = ax.get_lines()[5].get_ydata()
    lines = [RangeTest(lrs, one).plot().get_lines()[1] for one in test.losses]
    median = np.median([line.get_ydata() for line in lines], axis=0)
    np.testing.assert_allclose(middle[:90], median[:90])
    assert band.get_paths()


def test_labelled_curves_get_a_line_each():
    lrs = curve()[0]
    test = RangeTest(lrs, [curve(fall=2)[1], curve(fall=1.5)[1], flat()])
    ax = test.plot(labels=["two", "one and a half", "none"])
    ends = [RangeTest(lrs, losses).bounds()[1] for losses in test.losses[:2]]
    assert texts(ax) == [
        f"two: max_lr {ends[0]:.3g}",
        f"one and a half: max_lr {ends[1]:.3g}",
        "none: cannot be read",
    ]
    assert not ax.patches
    with pytest.raises(ValueError, match="a label for each curve, got labels=2, cur"):
        test.plot(labels=["a", "b"])


def test_reservations_stand_below():
    lrs, losses = curve()
    early = RangeTest(lrs, losses[:40] + [np.nan] * 60)
    assert early.reservations()
    label = early.plot().get_xlabel().replace("\n", " ")
    assert label.startswith("learning rate")
    assert all(text in label for text in early.reservations())
    unread = RangeTest(lrs, flat()).plot()
    assert "no bounds: suggest_bounds needs losses" in unread.get_xlabel()
    assert texts(unread) == ["smoothed loss"]
    assert not unread.patches


def test_linear_rates_get_a_linear_axis():
    _, losses = curve()
    assert RangeTest(np.linspace(0.01, 1, 100), losses).plot().get_xscale() == "linear"


def test_it_draws_on_axes_that_are_given():
    _, (left, right) = plt.subplots(1, 2)
    left.set_title("a title of one's own")
    assert RangeTest(*curve()).plot(left) is left
    assert not right.get_lines()
    assert left.get_title() == "a title of one's own"


def test_a_divergence_does_not_hide_the_fall():
    lrs, losses = curve(noise=0.0)
    ax = RangeTest(lrs, losses[:95] + [1e6] * 5).plot()
    low, high = ax.get_ylim()
    assert low < 1.3
    assert 3 < high < 5
    line = ax.get_lines()[1].get_ydata()
    # out of sight, and no farther but for rounding
    assert high < line.max() < (2 * high - low) * (1 + 1e-6)


@pytest.mark.parametrize("count", [0, 1, 9])
def test_a_curve_without_points_is_drawn_empty(count):
    losses = jnp.where(jnp.arange(20) < count, 2.0, jnp.nan)
    ax = RangeTest(jnp.geomspace(1e-5, 1, 20), losses).plot()
    assert "no bounds" in ax.get_xlabel()
    expected = (1.95, 3.35) if count else (0, 1)
    np.testing.assert_allclose(ax.get_ylim(), expected)
    ax.figure.canvas.draw()


def test_a_single_point_is_drawn():
    points, line = RangeTest([0.1], [2.0]).plot().get_lines()
    np.testing.assert_allclose(points.get_xydata(), [[0.1, 2.0]])
    np.testing.assert_allclose(line.get_xydata(), [[0.1, 2.0]])


def test_without_matplotlib_it_says_what_to_install(monkeypatch):
    import_module = builtins.__import__

    def without(name, *arguments, **named):
        if name.startswith("matplotlib"):
            raise ImportError(f"No module named {name!r}")
        return import_module(name, *arguments, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r"matplotlib, pip install 'clr-jax\[plot\]'"):
        RangeTest(*curve()).plot()

"""Where cycles end, and the picture of a schedule."""

import builtins

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracle import LAST, exact_cycle

from clr_optax import clr_schedule, momentum_schedule

FACTORIES = [clr_schedule, momentum_schedule]
small, mults = st.integers(1, 20), st.sampled_from([1, 2, 3, 10])


@pytest.fixture
def plt():
    pyplot = pytest.importorskip("matplotlib.pyplot")
    pyplot.switch_backend("agg")
    yield pyplot
    pyplot.close("all")


@given(st.sampled_from(FACTORIES), small, small, mults, st.integers(0, 200))
def test_a_cycle_ends_where_the_next_begins(factory, up, down, mult, last):
    schedule = factory(0.25, 0.5, up, step_size_down=down, cycle_mult=mult)
    cycles = [exact_cycle(step, up, down, mult)[0] for step in range(last + 1)]
    want = [step for step in range(1, last + 1) if cycles[step] > cycles[step - 1]]
    ends = schedule.cycle_ends(last)
    assert ends.dtype == np.int64
    assert ends.tolist() == want


@given(st.integers(1, LAST), st.integers(1, LAST), st.sampled_from([2, 3, 10, LAST]))
def test_far_ends_are_exact(up, down, mult):
    schedule = clr_schedule(0.0, 1.0, up, step_size_down=down, cycle_mult=mult)
    ends = schedule.cycle_ends(LAST)
    assert len(ends) <= 30
    assert not np.any(schedule(np.resize(ends, 30)))  # of one length, compiled once
    for end in ends.tolist():
        cycle, place, _, _ = exact_cycle(end, up, down, mult)
        assert (cycle, place) == (1 + ends.tolist().index(end) + 1, 0)
    after = exact_cycle(LAST, up, down, mult)[0]
    assert len(ends) == after - 1


def test_the_ends_are_those_of_the_count_that_the_schedule_is_called_with():
    schedule = clr_schedule(0.0, 1.0, 4)
    assert schedule.cycle_ends(24).tolist() == [8, 16, 24]
    assert schedule.cycle_ends(np.int32(23)).tolist() == [8, 16]
    assert schedule.cycle_ends(7).tolist() == schedule.cycle_ends(0).tolist() == []


@pytest.mark.parametrize("kind", [jnp.int32, np.float64, np.asarray])
@pytest.mark.parametrize("x64", [False, True])
def test_sizes_of_any_kind_count_alike(kind, x64):
    with jax.enable_x64(x64):
        schedule = clr_schedule(0.0, 1.0, kind(4), step_size_down=kind(2))
        assert schedule.cycle_ends(20).tolist() == [6, 12, 18]


@pytest.mark.parametrize("method", ["cycle_ends", "plot"])
def test_what_is_no_number_of_steps_is_refused(method):
    named = f"^CyclicalSchedule.{method} needs"
    call = getattr(clr_schedule(0.0, 1.0, 4), method)
    for wrong in (10.0, "10", None, True):
        with pytest.raises(TypeError, match=f"{named} num_steps as an int, got num_"):
            call(wrong)
    for wrong in (-1, 2**31):
        with pytest.raises(ValueError, match=f"{named} num_steps from .*={wrong}"):
            call(wrong)


@pytest.mark.parametrize("method", ["cycle_ends", "plot"])
@pytest.mark.parametrize("name", ["step_size", "step_size_down"])
def test_an_array_of_sizes_has_no_ends_of_its_own(method, name):
    schedule = clr_schedule(0.0, 1.0, **{"step_size": 4, name: np.array([4, 8])})
    message = (
        rf"{method} needs {name} as one number that is known, got {name}=array.*, "
    )
    with pytest.raises(TypeError, match=f"{message}build a schedule for each"):
        getattr(schedule, method)(10)


def test_other_arrays_have_ends_and_no_picture():
    schedule = clr_schedule(0.0, np.array([0.5, 1.0]), 4)
    assert schedule.cycle_ends(10).tolist() == [8]
    with pytest.raises(
        TypeError, match="plot needs max_lr as one number that is known"
    ):
        schedule.plot(10)


def line(ax, index=0):
    """Returns a line's counts, its values, and which of its counts are marked."""
    drawn = ax.get_lines()[index]
    counts, values = drawn.get_data()
    return counts, values, np.asarray(counts)[drawn.get_markevery()].tolist()


@pytest.mark.parametrize("factory", FACTORIES)
@pytest.mark.parametrize("mult", [1, 2])
def test_few_steps_are_drawn_one_by_one(factory, mult, plt):
    schedule = factory(0.25, 0.5, 2, step_size_down=1, cycle_mult=mult)
    ax = schedule.plot(10)
    counts, values, marked = line(ax)
    assert counts.tolist() == list(range(11))
    np.testing.assert_array_equal(values, schedule(np.arange(11)))
    assert marked == schedule.cycle_ends(10).tolist()
    assert ax.get_xlabel() == "step"
    assert ax.get_ylabel() == (
        "learning rate" if factory is clr_schedule else "momentum"
    )
    ax.figure.canvas.draw()


@pytest.mark.parametrize("size", [1, 3000, 99_999, 3_000_000])
@pytest.mark.parametrize("mult", [1, 2])
@pytest.mark.parametrize("last", [10**7, LAST])
def test_of_many_steps_those_are_drawn_that_can_be_seen(size, mult, last, plt):
    schedule = clr_schedule(0.25, 0.5, size, cycle_mult=mult)
    counts, values, marked = line(schedule.plot(last))
    assert counts[0] == 0
    assert counts[-1] == last
    assert np.diff(counts).max() <= last / 2000 + 1
    assert len(counts) < 6100
    columns = counts * 1000 // (last + 1)
    if mult == 1 and size < last / 4000:  # each column is full from bottom to top
        for k in range(1000):
            assert (values[columns == k].min(), values[columns == k].max()) == (
                0.25,
                0.5,
            )
    cycles = last // (2 * size) if mult == 1 else 1
    assert marked == (schedule.cycle_ends(last).tolist() if cycles <= 60 else [])


def test_peaks_and_troughs_are_drawn_between_the_even_steps(plt):
    for mult in (1, 3):
        schedule = clr_schedule(0.0, 1.0, 12_345, cycle_mult=mult)
        counts, values, _ = line(schedule.plot(300_000))
        ends = schedule.cycle_ends(300_000)
        assert not values[np.isin(counts, ends)].any()
        starts = np.array([0, *ends])
        peaks = starts + np.diff([*starts, 400_000]) // 2
        assert (values[np.isin(counts, peaks[:-1])] == 1).all()
        assert np.isin(peaks[:-1], counts).all()


def test_several_schedules_stand_on_the_same_axes(plt):
    schedules = [
        clr_schedule(0.001, 0.1, 50),
        clr_schedule(0.001, 0.1, 50, mode="exp_range", gamma=1e-05, cycle_mult=2),
    ]
    ax = None
    for schedule in schedules:
        ax = schedule.plot(400, ax)
    assert len(ax.get_lines()) == 2
    texts = [text.get_text() for text in ax.get_legend().get_texts()]
    assert [text.replace("\n", " ") for text in texts] == list(map(repr, schedules))


@pytest.mark.parametrize("inches", [(9, 3), (14, 8)])
def test_a_long_repr_is_no_wider_than_its_axes(inches, plt):
    figure = plt.figure(figsize=inches, layout="constrained")
    left, right = figure.subplots(1, 2)
    numbers = {"base_lr": 1 / 7, "max_lr": 3 / 7, "step_size": 1234}
    options = {"mode": "exp_range", "gamma": 1 - 1e-7, "anneal": "cosine"}
    schedule = clr_schedule(**numbers, step_size_down=4321, **options)
    for ax in (left, right):
        schedule.plot(9999, ax)
    figure.canvas.draw()
    legend, axes = left.get_legend().get_window_extent(), left.get_window_extent()
    assert legend.width < 1.1 * axes.width
    assert legend.y0 >= axes.y1
    assert legend.y1 <= figure.bbox.y1
    (text,) = left.get_legend().get_texts()
    assert text.get_text().replace("\n", " ") == repr(schedule)


def test_without_matplotlib_the_error_says_what_to_install(monkeypatch):
    real = builtins.__import__

    def refuse(name, *args, **kwargs):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(ImportError, match=r"CyclicalSchedule.plot needs .*jax\[plot\]"):
        clr_schedule(0.0, 1.0, 4).plot(10)

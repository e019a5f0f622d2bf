"""A history: what it adds, gives back and says."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from lab.history import METRICS, History
from lab.saved import write_json

SHAPES = st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 4))


def filled(figures):
    return History(tuple("ABC"[: len(figures)]), figures)


@st.composite
def histories(draw, elements):
    """Some arms on some seeds after some epochs."""
    shape = (*draw(SHAPES), len(METRICS))
    return filled(draw(arrays.arrays(np.float32, shape, elements=elements)))


finite = st.floats(width=32, allow_nan=False, allow_infinity=False)


@given(histories(finite))
def test_each_figure_has_its_place(history):
    for k, arm in enumerate(history.arms):
        for m, metric in enumerate(METRICS):
            values = history.of(arm, metric)
            assert values.shape == (history.seeds, history.epochs)
            np.testing.assert_array_equal(values, history.figures[k, :, :, m])
            np.testing.assert_array_equal(history.last(arm, metric), values[:, -1])


@given(histories(st.floats(width=32)))
def test_a_file_gives_it_back_with_nan_for_what_is_not_finite(
    tmp_path_factory, history
):
    path = tmp_path_factory.mktemp("json") / "history.json"
    write_json(path, history.to_json())
    restored = History.from_json(json.loads(path.read_text()))
    expected = np.where(np.isfinite(history.figures), history.figures, np.nan)
    np.testing.assert_array_equal(restored.figures, expected)
    assert restored.arms == history.arms
    assert restored.diverged() == history.diverged()


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("lost", [np.nan, np.inf, -np.inf])
def test_an_arm_diverged_on_the_seeds_that_lost_a_figure(metric, lost):
    figures = np.ones((2, 3, 2, len(METRICS)))
    assert filled(figures).diverged() == {}
    figures[1, 2, 0, METRICS.index(metric)] = lost
    assert filled(figures).diverged() == {"B": [2]}


def test_the_score_is_the_mean_over_seeds_and_0_for_the_lost():
    figures = np.ones((2, 2, 2, len(METRICS)))
    figures[0, :, 1, METRICS.index("val_accuracy")] = 0.25, 0.75
    figures[1, 1, 0, METRICS.index("loss")] = np.nan
    assert filled(figures).scores() == {"A": 0.5, "B": 0}


def test_json_is_by_arm_metric_seed_and_epoch():
    history = filled(np.arange(8.0).reshape(1, 2, 1, 4))
    content = json.loads(json.dumps(history.to_json()))
    assert content["A"]["loss"] == [[0.0], [4.0]]
    assert content["A"]["val_accuracy"] == [[3.0], [7.0]]


def test_from_json_leaves_out_what_is_no_metric():
    content = filled(np.ones((1, 2, 3, 4))).to_json()
    row = {"arm": "A", "epochs": 3, **content["A"]}
    assert History.from_json({"A": row}).to_json() == content


def test_an_unknown_arm_is_an_error():
    with pytest.raises(ValueError, match="not in tuple"):
        filled(np.ones((1, 1, 1, 4))).of("B", "loss")

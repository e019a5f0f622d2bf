"""Tables in Markdown, and the figures in them."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from scipy import stats

from lab.tables import Table, mean_and_sd, named, paired_difference

TABLE = Table(["arm", "points"], [["cosine", "7"], ["CLR", "12.5"]], "of n=2")


def test_a_table_is_markdown_whose_columns_stand_under_each_other():
    assert TABLE.markdown() == (
        "| arm    | points |\n"
        "| ------ | -----: |\n"
        "| cosine |      7 |\n"
        "| CLR    |   12.5 |\n\n"
        "of n=2"
    )


def test_a_console_prints_the_same_rows():
    console = Console(file=io.StringIO(), width=80)
    console.print(TABLE)
    printed = console.file.getvalue()
    *rows, caption = TABLE.markdown().splitlines()
    for row in (rows[0], *rows[2:4], caption):
        assert row in printed


def test_every_line_needs_all_cells():
    with pytest.raises(ValueError, match="shorter"):
        Table(["arm", "points"], [["cosine"]]).markdown()


def test_a_sample_s_mean_and_deviation():
    assert mean_and_sd([1, 2, 3], 1) == "2.0 ± 1.0"
    assert mean_and_sd([1, np.nan, np.inf], 1) == "2 of 3 diverged"


@given(seed=st.integers(0, 2**32 - 1), size=st.integers(2, 12))
def test_the_interval_is_that_of_the_paired_t_test(seed, size):
    values, others = np.random.default_rng(seed).normal(size=(2, size))
    expected = stats.ttest_rel(values, others).confidence_interval(0.95)
    gain = paired_difference(values, others)
    ends = gain.mean - gain.reach, gain.mean + gain.reach
    np.testing.assert_allclose(ends, expected, rtol=1e-9, atol=1e-12)
    assert gain.mean == pytest.approx(values.mean() - others.mean())


def test_a_lost_run_leaves_no_number():
    assert np.isnan(paired_difference([1.0, np.nan], [0.0, 0.0])).all()


def test_a_difference_is_paired_and_unknown_if_a_run_is_lost():
    # of 1 and 3: 2, and Student's 12.706 times 1
    assert paired_difference([2, 4], [1, 1]).text(2) == "+2.00 ± 12.71"
    assert paired_difference([2, np.nan], [1, 1]).text(2) == ""


def test_a_row_is_found_by_its_arm():
    rows = [{"arm": "a"}, {"arm": "b"}]
    assert named(rows, "b") is rows[1]

"""Tables in Markdown, and the figures in them."""

import numpy as np
import pytest

from lab.tables import difference, markdown, mean_and_sd, named


def test_a_table_is_markdown_whose_columns_stand_under_each_other():
    assert markdown(["arm", "points"], [["cosine", "7"], ["CLR", "12.5"]]) == (
        "| arm    | points |\n"
        "| ------ | -----: |\n"
        "| cosine |      7 |\n"
        "| CLR    |   12.5 |"
    )


def test_every_line_needs_all_cells():
    with pytest.raises(ValueError, match="shorter"):
        markdown(["arm", "points"], [["cosine"]])


def test_a_sample_s_mean_and_deviation():
    assert mean_and_sd([1, 2, 3], 1) == "2.0 ± 1.0"
    assert mean_and_sd([1, np.nan, np.inf], 1) == "2 of 3 diverged"


def test_a_difference_is_paired_and_unknown_if_a_run_is_lost():
    # of 1 and 3: 2, and Student's 12.706 times 1
    assert difference([2, 4], [1, 1], 2) == "+2.00 ± 12.71"
    assert difference([2, np.nan], [1, 1], 2) == ""


def test_a_row_is_found_by_its_arm():
    rows = [{"arm": "a"}, {"arm": "b"}]
    assert named(rows, "b") is rows[1]

"""Paired differences."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from lab.statistics import paired_difference


@given(seed=st.integers(0, 2**32 - 1), size=st.integers(2, 12))
def test_the_interval_is_that_of_the_paired_t_test(seed, size):
    values, others = np.random.default_rng(seed).normal(size=(2, size))
    expected = stats.ttest_rel(values, others).confidence_interval(0.95)
    gain = paired_difference(values, others)
    np.testing.assert_allclose((gain.low, gain.high), expected, rtol=1e-9, atol=1e-12)
    assert gain.mean == pytest.approx(values.mean() - others.mean())


def test_a_lost_run_leaves_no_number():
    assert np.isnan(paired_difference([1.0, np.nan], [0.0, 0.0])).all()

"""Range tests of the network: what is read over seeds, and their cost."""

import numpy as np
import pytest
from made_data import numbered

from lab import range_tests
from lab.data import Images


def test_the_spread_leaves_out_what_could_not_be_read():
    read = range_tests.spread(np.array([0.5, np.nan, 0.25, 1.0]))
    assert (read["median"], read["lowest"], read["highest"], read["n"]) == (
        0.5,
        0.25,
        1,
        3,
    )
    assert np.isnan(range_tests.spread(np.full(2, np.nan))["median"])


@pytest.mark.slow
def test_range_tests_of_the_network(monkeypatch):
    monkeypatch.setattr(
        range_tests, "OPTIMIZERS", {"SGD": range_tests.OPTIMIZERS["SGD"]}
    )
    images = Images(*(array % 10 for array in numbered(48, 0).train))
    (test,) = range_tests.range_tests(images, seeds=2, steps=20, batch_size=8).values()
    assert (test["lrs"][0], test["lrs"][-1]) == (pytest.approx(1e-5), 10)
    losses = np.array(test["losses"])
    assert losses.shape == (2, 20)
    np.testing.assert_allclose(losses[:, 0], np.log(10), rtol=0.1)
    assert (losses[0] != losses[1]).all()
    assert set(test["suggestions"]) == {*range_tests.RULES, "base_lr"}
    cost = range_tests.cost_ratio(images, steps=2, batch_size=8, repeats=2)
    assert len(cost["plain_seconds"]) == len(cost["range_test_seconds"]) == 2
    ratios = np.divide(cost["range_test_seconds"], cost["plain_seconds"])
    assert cost["ratio"] == np.median(ratios)

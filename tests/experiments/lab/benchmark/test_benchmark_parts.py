"""The benchmark's bookkeeping; what it measures is not for tests."""

import sys

import numpy as np
import optax
import pytest

from lab import LabError
from lab.benchmark import timing
from lab.benchmark.parts import SCHEDULE, loop, textbook_line
from lab.benchmark.report import HOW, formatted, page


def test_a_line_gives_median_spread_and_ratio():
    line = timing.row("calls", [3e-6, 1e-6, 2e-6], "us", 1e6, beside=("x", [4e-6]))
    assert formatted(line) == ["calls", "2 us", "1 to 3", "0.5", "x"]
    alone = timing.row("epochs", [2.0])
    assert formatted(alone) == ["epochs", "2 s", "2 to 2", "", ""]


def test_the_page_has_every_line():
    rows = [timing.row("an epoch", [2.0]), timing.row("b", [1.0], beside=("a", [2.0]))]
    assert page({"environment": {"jax": "1.2"}, "main job": rows}) == (
        "# What it costs\n\n`python experiments/benchmark.py` writes "
        "[benchmark.json](benchmark.json), and from it all that is shown here. "
        f"{HOW}\n\n"
        "Measured with jax 1.2.\n\n## Main job\n\n"
        "| what     | median | least to most | ratio | to |\n"
        "| -------- | -----: | ------------: | ----: | -: |\n"
        "| an epoch |    2 s |        2 to 2 |       |    |\n"
        "| b        |    1 s |        1 to 1 |   0.5 |  a |\n"
    )


def test_pairs_take_turns():
    calls = []
    timing.paired(lambda: calls.append("a"), lambda: calls.append("b"), 2)
    assert "".join(calls) == "aabbaabb"


def test_a_job_runs_in_a_process_of_its_own():
    told = timing.job("imports", sys.executable, base="sys", module="json")
    assert 0 <= told["seconds"] < 10


def test_a_missing_peer_is_skipped_with_a_line(capsys):
    options = {"base": "sys", "module": "no_such_package"}
    assert timing.peer_job("imports", sys.executable, **options) is None
    assert (
        "skipped: the job imports failed: ModuleNotFoundError"
        in capsys.readouterr().out
    )


def test_a_job_that_fails_is_an_error():
    with pytest.raises(LabError, match=r"the job keras failed: .*wrong"):
        timing.job("keras", sys.executable, wrong=1)


def test_the_textbook_line_is_the_schedule():
    steps = np.arange(0, 100_000, 7, dtype=np.float64)
    expected = textbook_line(steps)
    np.testing.assert_allclose(SCHEDULE(steps.astype(np.int32)), expected, rtol=1e-6)


def test_the_loop_applies_the_rate_at_every_step():
    rate, expected = optax.constant_schedule(0.5), 0.5**10
    assert float(loop(rate, 10)()) == expected

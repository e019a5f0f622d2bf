"""The benchmark's bookkeeping; what it measures is not for tests."""

import sys

import numpy as np
import optax
import pytest

import benchmark
from lab.benchmark import timing
from lab.benchmark.schedule import SCHEDULE, loop, textbook_line


def test_a_line_gives_median_spread_and_ratio():
    line = timing.row("calls", [3e-6, 1e-6, 2e-6], "us", 1e6, beside=[4e-6])
    assert timing.formatted(line) == ["calls", "2 us", "1 to 3", "0.5 times"]
    alone = timing.row("epochs", [2.0])
    assert timing.formatted(alone) == ["epochs", "2 s", "2 to 2", ""]


def test_pairs_take_turns():
    calls = []
    timing.paired(lambda: calls.append("a"), lambda: calls.append("b"), 2)
    assert "".join(calls) == "aabbaabb"


def test_a_job_runs_in_a_process_of_its_own():
    told = timing.job("imports", sys.executable, base="sys", module="json")
    assert 0 <= told["seconds"] < 10


def test_a_missing_peer_is_skipped_with_a_line(capsys):
    options = {"base": "sys", "module": "no_such_package"}
    assert timing.job("imports", sys.executable, **options) is None
    assert "skipped imports: ModuleNotFoundError" in capsys.readouterr().out


def test_a_job_that_fails_is_an_error():
    with pytest.raises(RuntimeError, match=r"the job keras failed: .*wrong"):
        timing.job("keras", sys.executable, wrong=1)


def test_a_bad_folder_is_an_error_before_anything_is_measured(tmp_path, capsys):
    missing, out = str(tmp_path / "none"), str(tmp_path / "out")
    assert benchmark.main(["--data-dir", missing, "--out", out]) == 1
    said = capsys.readouterr()
    assert (
        f"benchmark.py: load needs a folder that can be read, got {missing}" in said.err
    )
    assert "schedule" not in said.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--steps", "-1"], "--steps: needs 5 to 2**31 - 1, got -1"),
        (["--steps", "4"], "--steps: needs 5 to 2**31 - 1, got 4"),
        (["--steps", str(2**31)], "--steps: needs 5 to 2**31 - 1, got 2147483648"),
        (["--rounds", "0"], "--rounds: needs a whole number >= 1, got 0"),
        (["--peer-python", "no_such"], "--peer-python: no such program: no_such"),
    ],
)
def test_wrong_arguments_are_told_at_once(arguments, message, capsys):
    with pytest.raises(SystemExit) as exit_of:
        benchmark.main(arguments)
    assert exit_of.value.code == 2
    assert message in capsys.readouterr().err


def test_the_textbook_line_is_the_schedule():
    steps = np.arange(0, 100_000, 7, dtype=np.float64)
    expected = textbook_line(steps)
    np.testing.assert_allclose(SCHEDULE(steps.astype(np.int32)), expected, rtol=1e-6)


def test_the_loop_applies_the_rate_at_every_step():
    rate, expected = optax.constant_schedule(0.5), 0.5**10
    assert float(loop(rate, 10)()) == expected

"""The program battery.py, with cells that are known in the place of measured ones."""

import json

import numpy as np
import pytest
from made_data import random_images

import battery
from lab.battery import report
from lab.battery.protocol import SHORT, cells

BEST = 0.25
LRS = np.geomspace(1e-6, 10, 100)
CURVE = np.interp(np.log(LRS), np.log([1e-6, 1e-3, 0.1, 1, 10]), [2, 2, 1, 1, 50])
SWEEP = {"peaks": [0.25, 0.5, 1.0], "losses": [2.0, 1.0, None], "start": 3.0}


def known_cell(cell):
    """The regret of a peak is a fifth of its distance to the best in octaves."""
    peaks = BEST * 2.0 ** np.arange(-3, 4)
    ends = 1 + np.minimum(abs(np.log2(peaks / BEST)) / 5, 1)
    around = {"peaks": [BEST / 2, BEST, 2 * BEST], "ends": [3.0, 2.0, 1.0]}
    test = {"lrs": LRS.tolist(), "losses": [CURVE.tolist(), [2.0] * 100]}
    return {
        "task": cell.task,
        "optimizer": cell.optimizer,
        "part": cell.part,
        "untrained": [2.0, 2.0],
        "peaks": peaks.tolist(),
        "ends": np.stack([ends, ends], axis=1).tolist(),
        "cosine": around,
        "ratios": [1.5, 1.25],
        "tests": {"100": test},
        "sweeps": [SWEEP | {"steps": 1100}] * 2,
        "seconds": 1.0,
    }


@pytest.fixture
def measuring(monkeypatch):
    """The cells that were measured; a stop comes before `stop_at` of them."""
    measured, limit = [], {"stop_at": None}

    def measure(settings, data_dir, wanted):
        for cell in wanted:
            if len(measured) == limit["stop_at"]:
                raise KeyboardInterrupt
            measured.append(cell)
            yield known_cell(cell)

    monkeypatch.setattr(battery, "measure", measure)
    monkeypatch.setattr(battery, "load", lambda _: random_images(1, 1))
    return measured, limit


def run(out, *arguments):
    code = battery.main([*arguments, "--short", "--out", str(out)])
    return code, json.loads((out / "battery.json").read_text())


def test_a_stopped_run_measures_only_what_is_left(
    measuring, tmp_path, capsys, monkeypatch
):
    measured, limit = measuring
    limit["stop_at"] = 2
    code, results = run(tmp_path)
    assert code == 130
    assert len(results["cells"]) == 2
    assert run(tmp_path)[0] == 1
    assert "continue it with --resume" in capsys.readouterr().err

    limit["stop_at"] = None
    code, results = run(tmp_path, "--resume")
    assert code == 0
    assert measured == cells(SHORT)
    assert [cell["task"] for cell in results["cells"]] == [c.task for c in measured]
    monkeypatch.setattr(battery, "environment", lambda: {"python": "another"})
    before = (tmp_path / "README.md").read_text()
    assert run(tmp_path, "--resume") == (0, results)  # it is finished: nothing is done
    assert (tmp_path / "README.md").read_text() == before
    made = {path.name for path in tmp_path.iterdir()}
    assert made == {"battery.json", "README.md", "rules.png"}


def test_redraw_measures_nothing(measuring, monkeypatch, tmp_path):
    run(tmp_path)
    page = (tmp_path / "README.md").read_text()
    (tmp_path / "README.md").unlink()
    monkeypatch.delattr(battery, "measure")
    assert battery.main(["--redraw", "--out", str(tmp_path)]) == 0
    assert (tmp_path / "README.md").read_text() == page


@pytest.fixture(scope="module")
def scored():
    return report.scored({"cells": [known_cell(cell) for cell in cells(SHORT)]})


def test_a_rule_is_scored_by_the_grid(scored):
    """The sweep's best peak is 0.5, of which it takes half: the best of the grid."""
    found = report.figures(scored["lr_sweep"])
    expected = {"mean": 0, "most": 0, "bad": 0, "ratio": 1, "near": 1, "spread": 1}
    assert found == pytest.approx(expected | {"refused": 0}, abs=1e-9)


def test_what_a_rule_refuses_is_counted_and_has_no_regret(scored):
    one_of_two = scored["bounds(), 100 steps"]
    told = [answer for answer in one_of_two if answer.rate is not None]
    assert len(told) * 2 == len(one_of_two)
    found = report.figures(one_of_two)
    assert found["refused"] == len(told)
    octaves = abs(np.log2(told[0].rate / BEST))
    assert found["mean"] == pytest.approx(octaves / 5, rel=1e-6)


@pytest.mark.parametrize(
    ("rate", "regret", "outside"),
    [
        (BEST, 0, 1),
        (BEST * 2**0.5, 0.1, 2**0.5),  # on the line between two peaks
        (BEST / 8, 0.6, 8),
        (BEST / 16, 0.6 + 1 / 3, 16),  # beyond the grid, to 1 in three octaves
        (BEST * 1e6, 1, 1e6),
    ],
)
def test_the_regret_of_a_rate_is_that_of_the_peaks_beside_it(rate, regret, outside):
    truth = report.truth_of(known_cell(cells(SHORT)[0]))
    assert truth.best == BEST
    assert truth.regret(rate) == pytest.approx(regret)
    assert truth.outside(rate) == pytest.approx(outside)


def test_goals_are_answered_by_the_figures(scored):
    lines = report.hopes(scored)
    assert "lr_sweep: mean regret 0.0 % (1 % allowed): reached" in lines
    assert "lr_sweep: 1100 steps at most (1500 allowed): reached" in lines
    regret = report.figures(scored["bounds(), 100 steps"])["mean"]
    assert regret > 0.08
    missed = f"bounds(), 100 steps: mean regret {100 * regret:.1f} %"
    assert f"{missed} (4 % allowed): NOT reached" in lines

"""transformer.py: a short run, its resumption, its pictures, its refusals."""

import json

import numpy as np
import pytest

import transformer
from lab import saved
from lab.transformer import report
from lab.transformer.protocol import (
    BASELINE,
    CYCLES,
    FREE_SWEPT,
    FREE_TUNED,
    SHORT,
    WSD,
    free_arms,
    one_run_arms,
    planned_arms,
)


@pytest.fixture(scope="module")
def stopped_and_resumed(tmp_path_factory):
    """A real short run, stopped after the first final runs and gone on with."""
    out = tmp_path_factory.mktemp("short")
    written = []

    def stopping(path, results):
        write_json(path, results)
        written.append(len(results["runs"]))
        if results["runs"] and results["runs"][-1]["stage"] == "final":
            raise KeyboardInterrupt

    write_json = saved.write_json
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(transformer, "write_json", stopping)
        stopped = run(out, "--short")
    return stopped, run(out, "--short", "--resume"), out


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    return run(tmp_path_factory.mktemp("unbroken"), "--short")


def run(out, *arguments):
    code = transformer.main([*arguments, "--out", str(out)])
    path = out / "transformer.json"
    return code, json.loads(path.read_text()) if path.exists() else None


@pytest.mark.slow
def test_a_short_run_is_stopped_and_gone_on_with(stopped_and_resumed, unbroken):
    (stopped, early), (code, results), out = stopped_and_resumed
    assert (stopped, code) == (130, 0)
    assert "finished" not in early
    assert results["runs"][: len(early["runs"])] == early["runs"]
    assert results["sweeps"] == early["sweeps"]
    assert results["seconds"] > early["seconds"]
    runs = {(r["stage"], r["length"], r["arm"], r["seed"]) for r in results["runs"]}
    # two of the lengths are read of each run with the four arms of no length
    assert len(runs) == len(results["runs"]) == SHORT.runs + 4 * SHORT.seeds
    assert unbroken[0] == 0
    for name in ("base_lr", "peak", "runs"):
        assert results[name] == unbroken[1][name]
    assert {p.name for p in out.iterdir()} == {
        "transformer.json",
        "README.md",
        "sweep.png",
        "loss.png",
    }


@pytest.mark.slow
def test_the_results_say_what_they_depend_on(stopped_and_resumed):
    results = stopped_and_resumed[1][1]
    assert len(results["text"]["sha256"]) == 64
    assert results["environment"].keys() >= {"python", "jax", "grain"}
    assert "fixed before its final figures were seen" in results["protocol"]
    assert results["settings"]["lengths"] == list(SHORT.lengths)


@pytest.mark.slow
def test_redraw_trains_nothing(stopped_and_resumed, monkeypatch, capsys):
    out = stopped_and_resumed[2]
    pictures = [out / "sweep.png", out / "loss.png"]
    for picture in pictures:
        picture.unlink()
    for name in ("experiment", "read_text"):
        monkeypatch.delattr(transformer, name)
    code, _ = run(out, "--redraw")
    assert code == 0
    assert all(picture.stat().st_size > 10_000 for picture in pictures)
    assert " less cosine |" in capsys.readouterr().out


def known(trainings, settings, text, found):
    """Stands for the experiment: runs whose figures are known by their numbers."""
    sweep = {"peaks": [0.2, 0.4, 0.8], "losses": [5.0, 4.0, None], "start": 7.0}
    sweep |= {"steps": 700, "bounds": [0.02, 0.2], "seconds": 1.0}
    yield {"sweeps": [sweep] * settings.seeds, "base_lr": 0.02, "peak": 0.2}
    yield {"runs": list(known_runs(settings)), "finished": True}


def known_runs(settings):
    bounds, scores = (0.02, 0.2), (3.0, 2.5, 2.6, 2.7, np.nan)
    one = one_run_arms(bounds, settings)
    free = free_arms({FREE_SWEPT: 0.2, FREE_TUNED: 0.3}, settings)
    for length in settings.lengths:
        for stage in ("grid", "free grid"):
            for peak, bits in zip(settings.grid, scores, strict=True):
                run = {"stage": stage, "length": length, "arm": f"{peak:g}", "seed": 0}
                yield run | {"role": "baseline", "bits": bits, "losses": [5.0]}
        number = 0
        planned = planned_arms(bounds, 0.3, length, settings)
        for stage, arms in {"final": planned, "one run": one, "free": free}.items():
            for name, arm in arms.items():
                for seed in range(settings.seeds):
                    run = {"stage": stage, "length": length, "arm": name, "seed": seed}
                    bits = 2.0 + 0.01 * number + 0.01 * seed * (1 + number)
                    yield run | {"role": arm.role, "bits": bits, "losses": [5.0, bits]}
                number += 1


@pytest.fixture
def without_training(monkeypatch):
    monkeypatch.setattr(transformer, "experiment", known)
    monkeypatch.setattr(transformer, "draw_all", lambda *_: None)


def test_the_summary_compares_by_seed_with_the_tuned_cosine(without_training, tmp_path):
    code, results = run(tmp_path, "--short")
    assert code == 0
    rows = {(row["length"], row["arm"]): row for row in report.summary(results)}
    assert len(rows) == 2 * 9
    tuned, cosine = rows[12, BASELINE], rows[12, "warm-up cosine"]
    assert tuned["less_baseline"] == (0, 0)
    np.testing.assert_allclose(cosine["bits"], [2.01, 2.03])
    # differences of 0.01 and 0.02, and Student's t for one degree of freedom
    gain = cosine["less_baseline"]
    assert gain.mean == pytest.approx(0.015)
    assert gain.reach == pytest.approx(12.7062047 * 0.005, rel=1e-6)
    assert (tuned["tuning_steps"], cosine["tuning_steps"]) == (5 * 12, 2 * 700)
    assert rows[24, BASELINE]["tuning_steps"] == 5 * 24
    assert rows[12, FREE_TUNED]["tuning_steps"] == 5 * 24
    # two runs, one run with two cool-downs of a fifth, one run
    steps = [rows[12, arm]["steps"] for arm in (BASELINE, WSD, CYCLES, FREE_SWEPT)]
    assert steps == [12 + 24, 19 + 2 + 5, 24, 24]


def test_the_tuned_peak_is_the_grid_s_best_that_did_not_diverge(
    without_training, tmp_path
):
    _, results = run(tmp_path, "--short")
    assert results["runs"][4]["bits"] is None
    assert report.tuned_peak(results["runs"], "grid", 12) == 0.0015


def test_the_table_has_a_line_for_each_arm(without_training, tmp_path):
    _, results = run(tmp_path, "--short")
    table, caption = report.readme(results).split("\n\n")
    page = (tmp_path / "README.md").read_text()
    assert report.readme(results) in page
    assert results["text"]["sha256"] in page
    head, _, *lines = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in table.splitlines()
    ]
    assert head == [
        "AdamW with",
        *["12 steps", "less cosine", "24 steps"],
        head[2],
        *["steps", "tuning"],
    ]
    assert lines[0][:3] == [BASELINE, "2.005 ± 0.007", ""]
    assert lines[1][:3] == ["warm-up cosine", "2.020 ± 0.014", "+0.015 ± 0.064"]
    tuning = [line[-1] for line in lines]
    assert tuning == ["60 to 120", *["1,400"] * 7, "120"]
    assert "n=2 paired seeds" in caption


def test_a_diverged_arm_is_told(monkeypatch, tmp_path, capsys):
    def diverging(*arguments):
        test, runs = known(*arguments)
        for row in runs["runs"]:
            lost = row["arm"] == "fixed" or (row["arm"], row["length"]) == (CYCLES, 24)
            if lost and row["seed"] == 1:
                row |= {"bits": np.nan, "losses": [np.nan, np.nan]}
        return test, runs

    monkeypatch.setattr(transformer, "experiment", diverging)
    code, results = run(tmp_path, "--short")
    assert code == 3
    assert "fixed, 24 steps, diverged on 1 of 2 seeds" in capsys.readouterr().out
    (told,) = (line for line in report.hopes(results).splitlines() if CYCLES in line)
    assert "it did not come so" in told
    assert "+nan (24 steps)" in told
    assert run(tmp_path, "--redraw")[0] == 3


def test_a_run_that_is_not_finished_is_kept(without_training, tmp_path, capsys):
    _, results = run(tmp_path, "--short")
    del results["finished"]
    saved.write_json(tmp_path / "transformer.json", results)
    assert run(tmp_path, "--short")[0] == 1
    assert "continue it with --resume" in capsys.readouterr().err
    assert run(tmp_path, "--redraw")[0] == 1
    assert "not finished: go on with --resume" in capsys.readouterr().err
    assert run(tmp_path, "--resume")[0] == 1
    assert "is of other settings" in capsys.readouterr().err


def test_a_finished_run_is_begun_anew(without_training, tmp_path, monkeypatch):
    assert run(tmp_path, "--short")[0] == 0
    (tmp_path / "checkpoints").mkdir()
    given = []

    def seen(trainings, settings, text, found):
        given.append((found, trainings.folder.exists()))
        yield from known(trainings, settings, text, found)

    monkeypatch.setattr(transformer, "experiment", seen)
    assert run(tmp_path, "--short")[0] == 0
    assert given == [({}, False)]

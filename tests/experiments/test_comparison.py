"""The program comparison.py, most of it with known figures in the place of training."""

import json
from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest
import tiny_idx

import comparison
from clr_optax import RangeTest
from lab.comparison import parts, report
from lab.comparison.parts import run_epochs
from lab.comparison.pictures import draw_all
from lab.comparison.protocol import SHORT
from lab.comparison.report import hopes
from lab.comparison.schedules import SCHEDULES
from lab.history import METRICS
from lab.training import Runs, State, Stretch, Training


class Known:
    """Stands for training: an arm's accuracy is known by its seed and its epoch."""

    def __init__(self):
        self.calls, self.stop_after, self.diverging = [], None, ()

    def go_on(self, training, runs):
        epochs = training.count * (training.until - runs.done)
        self.calls.append((tuple(training.arms), training.data, epochs))
        for number in range(runs.done + 1, training.until + 1):
            if self.stop_after == 0:
                raise KeyboardInterrupt
            if self.stop_after:
                self.stop_after -= 1
            new = self.figures(training, number)
            figures = np.append(runs.figures, new, axis=1) if runs.done else new
            runs = Runs(figures, runs.state, runs.seconds + 0.5)
            yield Stretch(runs, 0.5, 0.0)

    def figures(self, training, number):
        figures = np.full((training.count, 1, 4), 0.5 + 0.01 * number, np.float32)
        seeds = np.arange(training.count) % training.seeds
        figures += 0.01 * seeds[:, None, None]
        for arm in self.diverging:
            if arm in training.arms:
                first = list(training.arms).index(arm) * training.seeds
                figures[first : first + training.seeds] = np.nan
        return figures


def start(training):
    count = training.count
    state = State({"w": jnp.zeros(count)}, {"count": jnp.zeros(count)}, ())
    return Runs(np.zeros((count, 0, 0), np.float32), state)


def known_range_tests(images, settings):
    lrs = 2.0 ** np.arange(-16, 4)
    losses = [2.0] * 8 + [1.75, 1.5, 1.25, 1.0, 0.75, 0.5, 0.5, 1, 2, 4, 8, 16]
    seeds = settings.range_seeds
    return RangeTest(np.tile(lrs, (seeds, 1)), np.tile(losses, (seeds, 1)))


def known_outputs(runs, images):
    """An answer from a corner of the image."""
    answers = np.eye(10)[images[:, 0, 0] % 10]
    return np.broadcast_to(answers, (len(runs.state.params["w"]), *answers.shape))


@pytest.fixture
def training(monkeypatch):
    known = Known()
    monkeypatch.setattr(comparison, "draw_all", lambda *_: None)
    monkeypatch.setattr(Training, "go_on", lambda self, runs: known.go_on(self, runs))
    monkeypatch.setattr(Training, "start", start)
    monkeypatch.setattr(parts, "range_tests", known_range_tests)
    monkeypatch.setattr(parts, "softmax_outputs", known_outputs)
    return known


@pytest.fixture
def run(tmp_path, idx):
    """Runs the program on tiny data; returns its exit code and its results."""

    def run(*args, out=tmp_path / "out"):
        code = comparison.main(
            ["--short", "--data-dir", str(idx), "--out", str(out), *args]
        )
        path = out / "comparison.json"
        return code, json.loads(path.read_text()) if path.exists() else None

    run.out = tmp_path / "out"
    return run


@pytest.fixture(scope="module")
def idx(tmp_path_factory):
    with tiny_idx.official(
        tmp_path_factory.mktemp("idx"), train=240, test=40
    ) as folder:
        yield folder


def test_choices_see_validation_images_and_finals_the_test_images(training, run):
    code, results = run()
    assert code == 0
    sizes = [len(test.images) for _, (_, test), _ in training.calls]
    assert sizes == [20, 20, 40, 40, 40, 40]  # E, B's choices, C, B, A twice
    trained = [train.images for _, (train, _), _ in training.calls]
    assert all(
        (images == trained[0]).all() and len(images) == 220 for images in trained
    )
    assert set(results) >= {*"ABCDE", "bounds", "peaks", "protocol", "range_test"}
    assert [row["epochs"] for row in results["A"]] == [1] * 9 + [2] * 9
    assert [row["epochs"] for row in results["C"]] == [3] * 6
    assert {p.name for p in run.out.iterdir()} == {"comparison.json", "README.md"}


def test_the_program_says_how_much_it_will_train(training, run, capsys):
    run()
    planned = run_epochs(SHORT)
    assert sum(epochs for *_, epochs in training.calls) == planned
    printed = capsys.readouterr().out
    assert f"{planned:,} epochs of single runs in all" in printed
    assert "about 0 min left" in printed


@pytest.mark.parametrize("epochs", [0, 1, 5, 9])
def test_ctrl_c_keeps_what_is_finished_and_resume_ends_alike(training, run, epochs):
    _, expected = run(out=run.out / "whole")
    training.stop_after = epochs
    code, partial = run(out=run.out / "stopped")
    assert code == 130
    assert ("C" in partial) == (epochs >= 9)
    training.stop_after = None
    code, results = run("--resume", out=run.out / "stopped")
    assert code == 0
    for name in (*"ABCDE", "bounds", "peaks", "settings", "seconds"):
        assert results[name] == expected[name]


def test_a_finished_run_is_not_trained_again_by_resume(training, run, capsys):
    _, results = run()
    training.calls.clear()
    (run.out / "checkpoints").mkdir()  # as a stop at the very end leaves it
    assert run("--resume") == (0, results)
    assert "is finished: there is nothing to resume" in capsys.readouterr().out
    assert not training.calls
    assert not (run.out / "checkpoints").exists()


def test_what_is_of_other_settings_is_not_resumed(training, run, monkeypatch, capsys):
    _, results = run()
    monkeypatch.setattr(comparison, "SHORT", replace(SHORT, seeds=3))
    assert run("--resume") == (1, results)
    assert "comparison.json is of other settings" in capsys.readouterr().err


def test_a_finished_run_stays_until_a_new_one_has_results(training, run, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    _, results = run()
    monkeypatch.setattr(parts, "range_tests", interrupted)
    assert run() == (130, results)
    assert run("--redraw") == (0, results)


def test_an_unfinished_run_is_not_overwritten(training, run, capsys):
    training.stop_after = 1
    assert run()[0] == 130
    assert "interrupted: what is finished is kept" in capsys.readouterr().err
    assert run()[0] == 1
    assert "continue it with --resume" in capsys.readouterr().err
    assert run("--redraw")[0] == 1
    assert "is not finished: go on with --resume" in capsys.readouterr().err


def test_redraw_trains_nothing(training, run, monkeypatch):
    _, results = run()
    training.calls.clear()
    monkeypatch.setattr(comparison, "draw_all", draw_all)
    assert run("--redraw") == (0, results)
    assert not training.calls
    pictures = sorted(run.out.glob("*.png"))
    names = ["accuracy", "anytime", "landscape", "range_test"]
    assert [path.stem for path in pictures] == names
    assert all(path.stat().st_size > 10_000 for path in pictures)
    page = (run.out / "README.md").read_text()
    assert all(f"]({path.name})" in page for path in pictures)
    assert report.schedules(results).markdown() in page
    assert report.anytime(results).markdown() in page
    assert hopes(results) in page


def test_a_diverged_arm_is_reported_and_stops_no_other(training, run, capsys):
    training.diverging = ("fixed rate",)
    code, _ = run()
    assert code == 3
    printed = capsys.readouterr().out
    assert "fixed rate of A, 2 epochs, diverged on 2 of 2 seeds" in printed
    assert "cosine decay of A" not in printed


def test_a_range_test_that_cannot_be_read_ends_the_run(
    training, run, monkeypatch, capsys
):
    def flat(*args):
        test = known_range_tests(*args)
        return replace(test, losses=np.ones_like(test.losses))

    monkeypatch.setattr(parts, "range_tests", flat)
    assert run()[0] == 1
    assert "needs losses that fall" in capsys.readouterr().err


def test_tables_pair_the_seeds(training, run):
    _, results = run()
    baseline = next(row for row in results["B"] if row["arm"] == "cosine decay")
    baseline["figures"]["val_accuracy"] = [[0.5, 0.6], [0.5, 0.8]]
    clr = next(row for row in results["B"] if row["arm"] == "CLR cosine, 1 cycle")
    clr["figures"]["val_accuracy"] = [[0.5, 0.61], [0.5, 0.82]]
    table, caption = report.schedules(results).markdown().split("\n\n")
    head, _, *lines = [line.strip("| ").split(" | ") for line in table.splitlines()]
    assert [line[0].strip() for line in lines] == list(SCHEDULES)
    cells = [cell.strip() for cell in lines[list(SCHEDULES).index(clr["arm"])]]
    assert cells[-4] == "71.5 ± 14.8"
    # 1 and 2 points ahead: 1.5 and 12.706 times 0.5
    assert cells[-3] == "+1.50 ± 6.35"
    assert not lines[list(SCHEDULES).index("cosine decay")][-3].strip()
    assert {len(line) for line in lines} == {len(head)}
    assert "n=2 paired seeds" in caption


def test_a_run_is_lost_from_the_epoch_on_that_loses_any_figure():
    figures = {metric: [[0.5, 0.5], [0.5, 0.5]] for metric in METRICS}
    figures["val_loss"] = [[1.0, 1.0], [1.0, None]]
    row = {"arm": "a", "epochs": 2, "figures": figures}
    np.testing.assert_array_equal(report.accuracy(row), [[50, 50], [50, np.nan]])
    results = {"A": [row], "B": [], "C": []}
    assert report.diverged(results) == ["a of A, 2 epochs, diverged on 1 of 2 seeds"]


def test_the_readme_s_table_is_that_of_the_longest_runs(training, run):
    _, results = run()
    untuned = next(
        row
        for row in results["A"]
        if (row["arm"], row["epochs"]) == ("linear decay", 2)
    )
    untuned["figures"]["val_accuracy"] = [[0.5, 0.61], [0.5, 0.63]]
    table = report.readme(results).splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table]
    assert cells[0][0] == "after 2 epochs"
    assert [line[0] for line in cells[2:]] == list(SCHEDULES)
    # others have 52 and 53 percent: 9 and 10 points ahead
    assert cells[2 + list(SCHEDULES).index("linear decay")] == [
        "linear decay",
        "62.0 ± 1.4",
        "+9.5 ± 6.4",
        "52.5 ± 0.7",
    ]


def test_the_hopes_are_held_against_the_figures(training, run):
    _, results = run()
    for part in "ABC":
        for row in results[part]:
            ends = [0.8, 0.82, 0.84][: row["epochs"]]
            row["figures"]["val_accuracy"] = [ends, ends]
    clr = next(row for row in results["C"] if row["arm"] == "CLR, range test")
    clr["figures"]["val_accuracy"] = [[0.81, 0.81, 0.838]] * 2
    lines = hopes(results).splitlines()[2:]
    found = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert [line[1:] for line in found] == [
        ["+0.00", "-0.30", "yes"],
        ["+1.00", "+1.00", "yes"],
        ["-1.00", "+0.00", "no"],
        ["-0.20", "-0.30", "yes"],
        ["+0.00", "+0.50", "no"],
        ["+0.00", "-1.00", "yes"],
    ]


@pytest.mark.slow
def test_the_short_form_trains_everything(run):
    code, results = run()
    assert code in (0, 3)
    losses = np.array(results["range_test"]["losses"], float)
    assert losses.shape == (SHORT.range_seeds, SHORT.range_steps)
    np.testing.assert_allclose(losses[:, 0], np.log(10), rtol=0.1)
    assert (losses[0] != losses[1]).all()
    for row in results["C"]:
        alone = results["D"][row["arm"]]["alone"]
        figures = np.array(row["figures"]["val_accuracy"])
        # the network alone has in D what training said of it in C
        np.testing.assert_allclose(alone, figures[:, -1], atol=1e-6)

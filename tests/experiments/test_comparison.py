"""The program comparison.py, most of it with known figures in the place of training."""

import json
from copy import deepcopy
from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest
import tiny_idx

import comparison
from clr_optax import RangeTest, Sweep
from lab.comparison import parts, report
from lab.comparison.parts import run_epochs
from lab.comparison.pictures import draw_all
from lab.comparison.protocol import SHORT
from lab.comparison.report import hopes
from lab.comparison.schedules import ANYTIME_ARMS, CLR, SCHEDULES
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
    state = State({"w": jnp.zeros(count)}, {"steps": jnp.zeros(count)}, ())
    return Runs(np.zeros((count, 0, 0), np.float32), state)


def known_range_tests(images, settings):
    lrs = 2.0 ** np.arange(-16, 4)
    losses = [2.0] * 8 + [1.75, 1.5, 1.25, 1.0, 0.75, 0.5, 0.5, 1, 2, 4, 8, 16]
    seeds = settings.range_seeds
    return RangeTest(np.tile(lrs, (seeds, 1)), np.tile(losses, (seeds, 1)))


def known_sweeps(choosing, settings):
    losses = np.array([2.0, 1.0, 0.5, 1.0, 2.0])
    return [Sweep(np.geomspace(0.025, 0.4, 5), losses, 2.3, 200)] * settings.range_seeds


def known_outputs(training, runs, images):
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
    monkeypatch.setattr(parts, "sweeps", known_sweeps)
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
def finished():
    """The results of a run, kept for whoever only reads them."""
    return {}


@pytest.fixture
def results(finished, training, run):
    """A copy of what a run on tiny data ends with."""
    if not finished:
        finished.update(run()[1])
    return deepcopy(finished)


@pytest.fixture(scope="module")
def idx(tmp_path_factory):
    with tiny_idx.official(
        tmp_path_factory.mktemp("idx"), train=240, test=40
    ) as folder:
        yield folder


def test_choices_see_validation_images_and_finals_the_test_images(training, run):
    code, results = run()
    assert code == 0
    seen = {len(test.images) for _, (_, test), _ in training.calls[:5]}
    assert seen == {20}  # E, and the choices: three optimizers, the second cool-down
    seen = {len(test.images) for _, (_, test), _ in training.calls[5:]}
    assert seen == {40}  # C: three optimizers, WSD and its branches; B; A twice
    assert len(training.calls) == 5 + 3 + 1 + len(results["settings"]["reads"]) + 1 + 2
    trained = [train.images for _, (train, _), _ in training.calls]
    assert all(
        (images == trained[0]).all() and len(images) == 220 for images in trained
    )
    assert set(results) >= {*"ABCDE", "bounds", "peaks", "protocol", "range_test"}
    assert [row["epochs"] for row in results["A"]] == [1] * 9 + [2] * 9
    whole = [row for row in results["C"] if row["arm"] != "WSD, tuned"]
    assert [row["epochs"] for row in whole] == [6] * len(ANYTIME_ARMS)
    branches = results["C"][len(whole) :]
    assert [row["epochs"] for row in branches] == [2, 3, 4, 5, 6]
    assert {p.name for p in run.out.iterdir()} == {"comparison.json", "README.md"}


def test_a_branch_goes_on_from_where_it_leaves_the_run_that_is_held(training, run):
    run()
    wsd = [epochs for arms, _, epochs in training.calls if arms == ("WSD, tuned",)]
    seeds = SHORT.seeds
    assert wsd == [5 * seeds] + [seeds] * 5  # the one that is held, and five branches


def test_the_program_says_how_much_it_will_train(training, run, capsys):
    run()
    planned = run_epochs(SHORT)
    assert sum(epochs for *_, epochs in training.calls) == planned
    printed = capsys.readouterr().out
    assert f"{planned:,} epochs of single runs in all" in printed
    assert "about 0 min left" in printed


@pytest.mark.parametrize(
    "epochs", [5, 38, *(pytest.param(n, marks=pytest.mark.slow) for n in (0, 34))]
)
def test_ctrl_c_keeps_what_is_finished_and_resume_ends_alike(
    results, training, run, epochs
):
    training.stop_after = epochs
    code, partial = run(out=run.out / "stopped")
    assert code == 130
    assert ("C" in partial) == (epochs == 38)
    training.stop_after = None
    code, resumed = run("--resume", out=run.out / "stopped")
    assert code == 0
    for name in (*"ABCDE", "bounds", "peaks", "settings"):
        assert resumed[name] == results[name]
    del resumed["seconds"]["rates"], results["seconds"]["rates"]
    assert resumed["seconds"] == results["seconds"]


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
    for table in (report.anytime, report.differences, report.horizon):
        assert table(results).markdown() in page
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


def test_tables_pair_the_seeds(results):
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


def figures_of(results, arm, percent):
    """Gives an arm of C, on both seeds, such accuracies after its epochs."""
    for row in results["C"]:
        if row["arm"] == arm:
            ends = [value / 100 for value in percent[: row["epochs"]]]
            row["figures"]["val_accuracy"] = [ends, ends]


def cells(markdown):
    """The cells of a table's lines below its headings."""
    table, *_ = markdown.split("\n\n")
    return [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in table.splitlines()[2:]
    ]


def test_the_hopes_are_held_against_the_figures(results):
    for part in "AB":
        for row in results[part]:
            ends = [0.8, 0.82][: row["epochs"]]
            row["figures"]["val_accuracy"] = [ends, ends]
    for row in results["C"]:
        figures_of(results, row["arm"], [80, 81, 82, 83, 84, 84])
    figures_of(results, CLR, [80, 82, 81, 81, 80, 83.5])
    figures_of(results, "CLR long, then short, sweep", [80, 80, 81.6, 80, 80, 83.9])
    figures_of(results, "WSD, tuned", [80, 81.5, 82, 83, 84, 84.1])
    figures_of(results, "CLR 1 cycle, sweep", [80, 80, 80, 80, 80, 85])
    figures_of(results, "CLR 2 cycles, sweep", [80, 80, 84, 80, 80, 85])
    found = cells(hopes(results))
    assert [line[1:] for line in found] == [
        ["+0.00", "-0.30", "yes"],
        ["+0.50", "+0.00", "yes"],
        ["-0.40", "-0.30", "no"],
        ["-1.10", "-0.30", "no"],
        ["+0.00", "+0.50", "no"],
        ["+0.00", "-1.00", "yes"],
        ["+0.00", "-1.00", "yes"],
        ["+0.50", "+0.00", "yes"],
    ]
    assert "above WSD, tuned" in found[1][0]
    assert "within 0.3 of CLR 1 cycle, sweep" in found[3][0]


def test_an_arm_is_read_where_it_stands_and_a_branch_at_its_end(results):
    figures_of(results, CLR, [80, 82, 81, 81, 80, 83.5])
    rows = [row for row in results["C"] if row["arm"] == "WSD, tuned"]
    for row in rows:
        ends = [0.5] * (row["epochs"] - 1) + [0.6 + row["epochs"] / 100]
        row["figures"]["val_accuracy"] = [ends, ends]
    lines = {line[0]: line[1:] for line in cells(report.anytime(results).markdown())}
    read = [f"{n:.1f} ± 0.0" for n in (82, 81, 81, 80, 83.5)]
    assert lines[CLR][:5] == read
    assert lines["WSD, tuned"][:5] == [f"{n}.0 ± 0.0" for n in (62, 63, 64, 65, 66)]
    per_epoch = results["settings"]["steps_per_epoch"]
    assert lines[CLR][5] == str(6 * per_epoch)
    assert lines["WSD, tuned"][5] == str((5 + 5) * per_epoch)


def test_the_readme_s_table_has_the_first_end_the_long_one_and_the_last(results):
    figures_of(results, CLR, [80, 82, 81.5, 81, 80, 83.5])
    figures_of(results, "WSD, tuned", [80, 82, 83, 84, 85, 86])
    lines = {line[0]: line[1:] for line in cells(report.readme(results))}
    assert list(lines) == report.QUOTED
    assert lines[CLR] == ["82.0 ± 0.0", "81.5 ± 0.0", "83.5 ± 0.0"]
    assert lines["WSD, tuned"] == ["82.0 ± 0.0", "83.0 ± 0.0", "86.0 ± 0.0"]


def test_the_horizon_is_the_first_epoch_at_the_target(results):
    results["settings"]["targets"] = [81, 83]
    for row in results["C"]:
        figures_of(results, row["arm"], [80, 80, 81, 80, 80, 82])
    row = next(row for row in results["C"] if row["arm"] == "CLR 2 cycles, sweep")
    row["figures"]["val_accuracy"][1] = [0.8, 0.8, 0.8, 0.84, 0.84, 0.84]
    lines = {line[0]: line[1:] for line in cells(report.horizon(results).markdown())}
    assert lines["CLR 1 cycle, sweep"] == ["0.50", "2", "more than 1", "0"]
    assert lines["CLR 2 cycles, sweep"] == ["0.58", "2", "more than 1", "1"]


@pytest.mark.slow
def test_the_short_form_trains_everything(run):
    code, results = run()
    assert code in (0, 3)
    losses = np.array(results["range_test"]["losses"], float)
    assert losses.shape == (SHORT.range_seeds, SHORT.range_steps)
    np.testing.assert_allclose(losses[:, 0], np.log(10), rtol=0.1)
    assert (losses[0] != losses[1]).all()
    for row in results["C"]:
        if row["arm"] not in results["D"]:
            continue
        alone = results["D"][row["arm"]]["alone"]
        figures = np.array(row["figures"]["val_accuracy"])
        # the network alone has in D what training said of it in C
        np.testing.assert_allclose(alone, figures[:, -1], atol=1e-6)

"""The protocol of superconvergence.py, with training replaced by known figures."""

import json

import jax.numpy as jnp
import numpy as np
import pytest
from test_protocol import numbered

import superconvergence
from lab import devices as processes
from lab import range_tests
from lab.superconvergence import protocol
from lab.superconvergence.protocol import GRID, MOMENTA, SHAPES
from lab.superconvergence.tables import draw_all, summary
from lab.training import Epoch, State

ARGS = ["--epochs", "1", "3", "--trial-epochs", "1", "--seeds", "2"]
ARGS += ["--range-steps", "20", "--batch-size", "16"]
BEST = "SGD 0.05, momentum 0.9"


class Training:
    """Stands for train(): an arm's accuracy is known by its place and its epoch."""

    def __init__(self):
        self.calls, self.stop_after, self.diverging = [], None, ()

    def __call__(self, optimizers, data, *, seeds, epochs, batch_size, resume=None):
        self.calls.append((tuple(optimizers), data, seeds, epochs))
        done = resume[0] if resume else 0
        for number in range(done + 1, epochs + 1):
            if self.stop_after == 0:
                raise KeyboardInterrupt
            if self.stop_after:
                self.stop_after -= 1
            metrics = {arm: self.figures(arm, seeds, number) for arm in optimizers}
            state = initial_state(optimizers, seeds)
            yield Epoch(number, metrics, state, 0.5, 0.0)

    def figures(self, arm, seeds, number):
        accuracy = 0.5 + 0.01 * number + 0.001 * np.arange(seeds)
        accuracy += 0.1 * (arm in (BEST, "best fixed rate"))
        accuracy += 0.2 * ("x 0.5, tail 0.25" in arm) + 0.3 * (arm == "SGD 1")
        loss = np.full(seeds, np.nan if arm in ("SGD 1", *self.diverging) else 1.0)
        return np.stack([loss, accuracy, loss, accuracy], axis=1).astype(np.float32)


def initial_state(optimizers, seeds):
    return State({"w": jnp.zeros(len(optimizers) * seeds)}, {"count": jnp.zeros(1)})


def known_range_tests(data, *, seeds, steps, batch_size):
    lrs, losses = np.geomspace(1e-5, 10, steps), np.ones((seeds, steps))
    read = dict.fromkeys(range_tests.RULES, range_tests.spread(np.full(seeds, 0.125)))
    read["base_lr"] = range_tests.spread(np.full(seeds, 0.03125))
    test = {"lrs": lrs.tolist(), "losses": losses.tolist(), "suggestions": read}
    test["smoothed"] = test["losses"]
    return dict.fromkeys(range_tests.OPTIMIZERS, test)


@pytest.fixture
def training(monkeypatch):
    training = Training()
    monkeypatch.setattr(protocol, "train", training)
    monkeypatch.setattr(protocol, "initial_state", initial_state)
    monkeypatch.setattr(protocol, "range_tests", known_range_tests)
    cost = {"steps": 20, "ratio": 1.0}
    monkeypatch.setattr(protocol, "cost_ratio", lambda *_, **__: cost)
    monkeypatch.setattr(superconvergence, "draw_all", lambda *_: None)
    monkeypatch.setattr(processes, "load", lambda _: numbered(480, 60))
    return training


def run(out, *args):
    code = superconvergence.main([*ARGS, "--out", str(out), *args])
    path = out / "superconvergence.json"
    return code, json.loads(path.read_text()) if path.exists() else None


def test_choices_see_validation_images_only_and_finals_the_test_images(
    training, tmp_path
):
    code, results = run(tmp_path)
    assert code == 0
    *choices, short, long = training.calls
    data = numbered(480, 60)
    for arms, seen, seeds, epochs in choices:
        assert seen.test_labels.max() < 480
        assert not np.isin(seen.test_labels, seen.train_labels).any()
        assert (seeds, epochs) == (1, 3 if len(arms) == len(GRID) else 1)
    for _, seen, seeds, _ in (short, long):
        np.testing.assert_array_equal(seen.test_labels, data.test_labels)
        np.testing.assert_array_equal(seen.train_labels, choices[0][1].train_labels)
        assert seeds == 2
    assert [len(arms) for arms, *_ in training.calls] == [
        len(GRID),
        len(SHAPES) * len(MOMENTA),
        2,
        4,
    ]
    # SGD 1 has the best accuracy of the grid, and a loss that is not a number
    assert results["choices"]["fixed"]["SGD 1"] == 0
    assert results["choices"]["best fixed"] == BEST
    assert results["choices"]["best shape"] == [0.5, 0.25]
    assert results["choices"]["bounds"] == [0.03125, 0.125]
    assert len(results["final"]) == 6
    assert "momentum_schedule(0.85, 0.95" in results["final"][1]["about"].replace(
        "base_momentum=", ""
    ).replace("max_momentum=", "")
    assert [p.name for p in tmp_path.iterdir()] == ["superconvergence.json"]


def test_the_summary_compares_by_seed_with_the_best_fixed_rate(training, tmp_path):
    _, results = run(tmp_path)
    for row in results["final"]:
        if row["arm"] == "CLR" and row["epochs"] == 3:
            row["val_accuracy"] = [[0.1, 0.9, 0.6], [0.1, 0.8, 0.7]]
    rows = {(row["arm"], row["epochs"]): row for row in summary(results)}
    base, clr = rows["best fixed rate", 3], rows["CLR", 3]
    assert (base["difference"], base["better"], base["epochs_to_baseline"]) == (0, 0, 3)
    # the best fixed rate ends at 0.63 and 0.631
    assert clr["mean"] == pytest.approx(0.65)
    assert clr["sd"] == pytest.approx(np.sqrt(0.005))
    assert clr["difference"] == pytest.approx((0.6 - 0.63 + 0.7 - 0.631) / 2)
    assert clr["difference_sd"] == pytest.approx(0.099 / np.sqrt(2))
    assert (clr["better"], clr["n"], clr["epochs_to_baseline"]) == (1, 2, 2)
    assert rows["CLR", 1]["epochs_to_baseline"] is None
    tuned = [row["tuning_steps"] for row in rows.values()]
    fixed, clr_steps = results["tuning_steps"].values()
    assert tuned == [clr_steps, clr_steps, 0, fixed, clr_steps, clr_steps]


@pytest.mark.parametrize("epochs", [0, 1, 3, 4, 6])
def test_ctrl_c_keeps_what_is_finished_and_resume_ends_alike(
    training, tmp_path, epochs
):
    _, expected = run(tmp_path / "whole")
    training.stop_after = epochs
    code, partial = run(tmp_path / "stopped")
    assert code == 130
    assert ("choices" in partial) == (epochs >= 3)
    training.stop_after = None
    training.calls.clear()
    code, results = run(tmp_path / "stopped", "--resume")
    assert code == 0
    assert len(training.calls) == 4 - sum(epochs >= done for done in (3, 4, 5))
    for name in ("choices", "final", "range_test", "tuning_steps"):
        assert results[name] == expected[name]


def test_an_unfinished_run_is_not_overwritten(training, tmp_path, capsys):
    training.stop_after = 1
    run(tmp_path)
    assert run(tmp_path)[0] == 1
    assert "continue it with --resume" in capsys.readouterr().err
    assert superconvergence.main(["--redraw", "--out", str(tmp_path)]) == 1
    assert "not finished: go on with --resume" in capsys.readouterr().err
    code = superconvergence.main(
        [*ARGS, "--out", str(tmp_path), "--resume", "--seeds", "3"]
    )
    assert code == 1
    assert "seeds was 2, is 3" in capsys.readouterr().err


def test_redraw_trains_nothing(training, monkeypatch, tmp_path):
    _, results = run(tmp_path)
    pictures = [tmp_path / "range_test.png", tmp_path / "accuracy.png"]
    assert not any(path.exists() for path in pictures)
    training.calls.clear()
    monkeypatch.setattr(superconvergence, "draw_all", draw_all)
    assert run(tmp_path, "--redraw") == (0, results)
    assert not training.calls
    assert all(path.stat().st_size > 10_000 for path in pictures)


def test_a_diverged_arm_is_reported_and_stops_no_other(training, tmp_path, capsys):
    training.diverging = ("CLR",)
    code, results = run(tmp_path)
    assert code == 3
    assert "CLR, epochs 3, diverged on 2 of 2 seeds" in capsys.readouterr().out
    assert results["final"][-2]["loss"] == [[None] * 3] * 2
    assert results["final"][-1]["loss"] == [[1.0] * 3] * 2


def test_range_tests_that_cannot_be_read_end_the_run(
    training, monkeypatch, tmp_path, capsys
):
    def flat(data, *, seeds, steps, batch_size):
        tests = known_range_tests(data, seeds=seeds, steps=steps, batch_size=batch_size)
        nothing = range_tests.spread(np.full(seeds, np.nan))
        return {
            name: test | {"suggestions": {"base_lr": nothing, "smith": nothing}}
            for name, test in tests.items()
        }

    monkeypatch.setattr(protocol, "range_tests", flat)
    assert run(tmp_path)[0] == 1
    assert (
        "no range test could be read: give more --range-steps."
        in capsys.readouterr().err
    )


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--seeds", "1"], "--seeds must be 2 or more"),
        (["--range-steps", "19"], "--range-steps must be 20 or more"),
        (["--epochs", "0"], "needs a whole number >= 1, got 0"),
        (["--batch-size", "x"], "invalid positive value: 'x'"),
        (["--epoch", "3"], "unrecognized arguments"),
    ],
)
def test_wrong_arguments_end_before_training(training, capsys, args, words):
    with pytest.raises(SystemExit) as stop:
        superconvergence.main(args)
    assert stop.value.code == 2
    assert words in capsys.readouterr().err
    assert not training.calls


def test_what_cannot_work_ends_before_training(training, tmp_path, capsys):
    file = tmp_path / "file"
    file.touch()
    for out, args, words in (
        (file, [], "File exists"),
        (tmp_path / "new", ["--redraw"], "there is no"),
        (tmp_path / "new", ["--trial-epochs", "9"], "tuning CLR would take"),
    ):
        assert superconvergence.main([*ARGS, "--out", str(out), *args]) == 1
        assert words in capsys.readouterr().err
    (tmp_path / "new" / "superconvergence.json").write_text("{")
    code = superconvergence.main(["--redraw", "--out", str(tmp_path / "new")])
    assert (code, training.calls) == (1, [])
    assert "is not a results file" in capsys.readouterr().err

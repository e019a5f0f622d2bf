"""What can go wrong in the middle of a run: it ends as documented, results intact.

Most of these runs train nothing: figures and states that cost no time stand in for it.
"""

import errno
import json
import os
import resource
import shutil
import signal
import sys
import time
from pathlib import Path

import children
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import tiny_idx

import fashion
from clr_optax import clr_schedule
from lab import checkpoints
from lab.training import Arm, Runs, State, Stretch, Training
from lab.tutorial.pictures import draw_all
from lab.tutorial.settings import Settings

PICTURES = 5


def state(number):
    return State({"w": jnp.full((2, 3), number, float)}, {"count": jnp.arange(2)}, ())


def beginning(training):
    return Runs(np.zeros((training.count, 0, 0), np.float32), state(0))


def trained(training, runs):
    """In place of training: figures that tell the epoch."""
    for number in range(runs.done + 1, training.until + 1):
        new = np.full((training.count, 1, 4), 1 / number, np.float32)
        figures = np.append(runs.figures, new, axis=1) if runs.done else new
        runs = Runs(figures, state(number))
        yield Stretch(runs, 0.1, 0.0)


@pytest.fixture(scope="module")
def idx(tmp_path_factory):
    with tiny_idx.official(tmp_path_factory.mktemp("idx"), train=40, test=20) as folder:
        yield folder


@pytest.fixture
def run(idx, tmp_path, monkeypatch):
    """Runs the program without training or pictures; returns its exit code."""
    monkeypatch.setattr(fashion, "draw_all", lambda *_: None)
    monkeypatch.setattr(Training, "go_on", trained)
    monkeypatch.setattr(Training, "start", beginning)

    def run(epochs, *arguments):
        out, data = str(tmp_path / "out"), str(idx)
        shown = ["--epochs", str(epochs), "--batch-size", "8", "--out", out]
        return fashion.main([*shown, "--data-dir", data, *arguments])

    run.out = tmp_path / "out"
    return run


def losses(out):
    content = json.loads((out / "fashion.json").read_text())
    return content["history"]["SGD"]["loss"][0]


def contents(out):
    return {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}


def failing_at(epoch, error, original):
    """A Checkpoints.save that raises at an epoch."""

    def save(self, runs):
        if runs.done == epoch:
            raise error
        return original(self, runs)

    return save


def test_ctrl_c_in_a_step_keeps_what_is_finished(run, monkeypatch, capsys):
    def interrupted(*arguments):
        for epoch in trained(*arguments):
            if epoch.runs.done == 3:
                raise KeyboardInterrupt
            yield epoch

    monkeypatch.setattr(Training, "go_on", interrupted)
    assert run(4) == 130
    assert "Interrupted after epoch 2; --resume goes on" in capsys.readouterr().out
    assert losses(run.out) == [1, 0.5]
    monkeypatch.setattr(Training, "go_on", trained)
    for _ in range(2):  # the second time nothing is left to do
        assert run(4, "--resume") == 0
        np.testing.assert_allclose(losses(run.out), [1, 1 / 2, 1 / 3, 1 / 4])
        seconds = json.loads((run.out / "fashion.json").read_text())["seconds"]
        assert seconds["epochs"] == [0.1] * 4
        assert seconds["compile"] == 0
    assert "Resuming after epoch 2" in capsys.readouterr().out


def test_ctrl_c_in_the_first_epoch_promises_no_resumption(run, monkeypatch, capsys):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(Training, "go_on", interrupted)
    assert run(4) == 130
    printed = capsys.readouterr()
    assert "--resume" not in printed.out
    assert printed.err == "fashion.py: interrupted\n"
    assert contents(run.out) == {}


@pytest.mark.parametrize("arguments", [[], ["--redraw"]])
def test_ctrl_c_in_a_picture_keeps_the_figures(run, monkeypatch, capsys, arguments):
    def interrupted(*_):
        raise KeyboardInterrupt

    assert run(2) == 0
    monkeypatch.setattr(fashion, "draw_all", interrupted)
    assert run(2, *arguments) == 130
    assert capsys.readouterr().err == "fashion.py: interrupted\n"
    assert losses(run.out) == [1, 0.5]


def test_ctrl_c_in_a_checkpoint_loses_at_most_that_epoch(run, monkeypatch, capsys):
    save = failing_at(3, KeyboardInterrupt(), checkpoints.Checkpoints.save)
    with monkeypatch.context() as patch:
        patch.setattr(checkpoints.Checkpoints, "save", save)
        assert run(4) == 130
    assert len(losses(run.out)) == 3
    assert run(4, "--resume") == 0
    assert "Resuming after epoch 2" in capsys.readouterr().out
    np.testing.assert_allclose(losses(run.out), [1, 1 / 2, 1 / 3, 1 / 4])


def test_a_full_disk_spares_the_checkpoints_before_it(run, monkeypatch, capsys):
    """Files can't grow past 100 bytes from epoch 3 on, as if the disk were full."""
    original = checkpoints.Checkpoints.save

    def save(self, runs):
        if runs.done == 3:
            resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
        return original(self, runs)

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    assert run(2) == 0
    try:
        with monkeypatch.context() as patch:
            patch.setattr(checkpoints.Checkpoints, "save", save)
            code = run(4, "--resume")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    printed = capsys.readouterr()
    assert code == 1
    assert "fashion.py: " in printed.err
    assert "checkpoint 3 could not be written" in printed.err
    assert "Traceback" not in printed.err
    assert len(losses(run.out)) == 3
    assert run(4, "--resume") == 0
    assert "Resuming after epoch 2" in capsys.readouterr().out


def test_a_folder_that_vanishes_is_a_clear_error(run, monkeypatch, capsys):
    def vanishing(*arguments):
        for epoch in trained(*arguments):
            if epoch.runs.done == 2:
                shutil.rmtree(run.out)
            yield epoch

    monkeypatch.setattr(Training, "go_on", vanishing)
    assert run(3) == 1
    printed = capsys.readouterr().err
    assert "fashion.json could not be written (No such file or directory)" in printed


@pytest.mark.parametrize("name", ["fashion.json", "losses.png"])
def test_results_are_replaced_whole_or_not_at_all(run, monkeypatch, capsys, name):
    monkeypatch.setattr(fashion, "draw_all", draw_all)
    assert run(1) == 0
    before = contents(run.out)
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def half(self, target):
        if Path(target).name == name:
            raise full
        return replace(self, target)

    replace = Path.replace
    monkeypatch.setattr(Path, "replace", half)
    assert run(1) == 1
    printed = capsys.readouterr().err
    assert f"{name} could not be written (No space left on device)" in printed
    after = contents(run.out)
    assert after.keys() == before.keys()
    assert after[name] == before[name]


@pytest.mark.slow
def test_an_arm_that_diverges_is_reported_and_stops_no_other(idx, tmp_path, capsys):
    """With real training: a rate of 1e30 is too much for any loss."""
    slow, fast = optax.constant_schedule(0.01), clr_schedule(1e30, 1e30, 2)
    arms = {
        "SGD": Arm("slow", "baseline", slow, optax.sgd(slow)),
        "CLR": Arm("too fast", "cyclical", fast, optax.sgd(fast)),
    }
    out = tmp_path / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Settings, "arms", arms)
        arguments = ["--epochs", "2", "--batch-size", "8", "--out", str(out)]
        assert fashion.main([*arguments, "--data-dir", str(idx)]) == 3
    printed = capsys.readouterr().out
    assert "CLR DIVERGED (its loss is not finite) on seeds [0]" in printed
    assert "| CLR |         loss |    2.1931 |    nan |" in printed
    content = json.loads((out / "fashion.json").read_text())
    assert content["history"]["CLR"]["loss"][0][-1] is None
    assert np.isfinite(content["history"]["SGD"]["val_loss"][0]).all()
    assert len(contents(out)) == 1 + PICTURES


@pytest.mark.slow
def test_ctrl_c_ends_a_real_run_in_seconds(tmp_path, start_fashion):
    """An epoch takes long here; the signal comes in the middle of the second."""
    data, out = tmp_path / "idx", tmp_path / "out"
    tiny_idx.write(data, train=8000, test=100)
    process = start_fashion(data, "--epochs", "50", "--seeds", "2", "--out", out)
    for line in process.stdout:
        if line.startswith(" 1/50 CLR"):
            break
    time.sleep(0.8)
    process.send_signal(signal.SIGINT)
    started = time.perf_counter()
    printed, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert time.perf_counter() - started < 20
    assert "Interrupted after epoch" in printed
    assert "Traceback" not in errors
    assert 1 <= len(losses(out)) < 50


@pytest.mark.slow
def test_kills_at_random_moments_change_nothing(tmp_path):
    script = Path(__file__).with_name("kill_and_resume.py")
    command = [sys.executable, script, "--kills", "4"]
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    done = children.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "bit-identical after 4 kills" in done.stdout

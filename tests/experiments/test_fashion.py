"""The main program on tiny generated files, without any download."""

import functools
import io
import json
import shutil

import numpy as np
import pytest
import tiny_idx
from rich.console import Console

import fashion
from lab import network, program
from lab.history import METRICS, History
from lab.tutorial.settings import PUBLISHED, Settings

DRAWN = ("accuracy", "losses", "modes", "schedule_10", "schedule_100")
PICTURES = [f"{name}.png" for name in DRAWN]
LONE = ["--num-processes", "1", "--process-id", "0"]
SMALL = ["--epochs", "2", "--batch-size", "16", "--seeds", "2"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run of two epochs on tiny data: its folder and what it printed."""
    folder = tmp_path_factory.mktemp("fashion")
    idx, out = folder / "idx", folder / "out"
    file = io.StringIO()
    console = functools.partial(Console, file=file, width=200)
    with tiny_idx.official(idx, train=70, test=30), pytest.MonkeyPatch.context() as m:
        m.setattr(program, "Console", console)
        arguments = [*SMALL, "--data-dir", str(idx), "--out", str(out)]
        assert fashion.main([*arguments, "--tensorboard"]) == 0
    return out, file.getvalue()


@pytest.fixture(scope="module")
def results(finished):
    return json.loads((finished[0] / "fashion.json").read_text())


def test_a_run_leaves_the_pictures_and_the_json(finished):
    out, _ = finished
    assert sorted(path.name for path in out.glob("*.png")) == PICTURES
    for path in out.glob("*.png"):
        assert path.read_bytes().startswith(b"\x89PNG")
    assert not list(out.glob(".*"))


def test_it_says_where_the_data_come_from(finished):
    out, printed = finished
    idx = out.with_name("idx")
    assert printed.startswith(f"Data: IDX files in {idx}; prepared in {idx}")


def test_each_arm_has_a_line_an_epoch_beside_the_published_figures(finished):
    _, printed = finished
    for arm in ("SGD", "CLR"):
        for epoch in (1, 2):
            (line,) = (
                line
                for line in printed.splitlines()
                if line.startswith(f"{epoch}/2 {arm} ")
            )
            for metric in METRICS:
                assert f"({PUBLISHED[arm][metric][epoch - 1]:.4f})" in line


def test_the_json_has_every_figure(results):
    for arm in ("SGD", "CLR"):
        for metric in METRICS:
            values = np.array(results["history"][arm][metric])
            assert values.shape == (2, 2)
            assert np.isfinite(values).all()
            if "accuracy" in metric:
                images = 30 if metric.startswith("val") else 70
                counts = values * images
                np.testing.assert_allclose(counts, np.round(counts), atol=1e-4)
    assert results["settings"]["train_images"] == 70
    assert {"python", "jax", "device"} <= results["environment"].keys()
    assert len(results["seconds"]["epochs"]) == 2


def test_redrawing_needs_no_training(finished, monkeypatch):
    out, _ = finished
    before = {path.name: path.read_bytes() for path in out.glob("*.png")}
    for path in out.glob("*.png"):
        path.unlink()
    monkeypatch.setattr(network, "training", None)
    assert fashion.main(["--redraw", "--out", str(out)]) == 0
    assert {path.name: path.read_bytes() for path in out.glob("*.png")} == before


@pytest.mark.parametrize("redrawn", [False, True])
def test_tensorboard_scalars_name_rate_and_figures(finished, redrawn):
    out, _ = finished
    if redrawn:
        shutil.rmtree(out / "tensorboard")
        assert fashion.main(["--redraw", "--tensorboard", "--out", str(out)]) == 0
    written = b"".join(
        path.read_bytes() for path in (out / "tensorboard" / "CLR-1").iterdir()
    )
    for name in ("learning_rate", *METRICS):
        assert name.encode() in written


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (["--epoch", "3"], "unrecognized arguments: --epoch 3"),
        (["--coordinator", "host:1"], "--coordinator HOST:PORT, --num-processes"),
        ([*LONE, "--coordinator", "host"], "--coordinator needs HOST:PORT, got host"),
        ([*LONE, "--coordinator", "host:"], "--coordinator needs HOST:PORT, got host:"),
        ([*LONE, "--coordinator", ":1"], "--coordinator needs HOST:PORT, got :1"),
        (["--process-id", "1"], "--num-processes and --process-id go together"),
        (
            ["--coordinator", "h:1", "--num-processes", "2", "--process-id", "2"],
            "--process-id must be in 0..1, got 2",
        ),
    ],
)
def test_wrong_arguments_are_refused_before_anything_else(wrong, message, capsys):
    with pytest.raises(SystemExit) as stop:
        fashion.main(wrong)
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


def test_missing_data_is_one_message(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    arguments = ["--data-dir", str(tmp_path / "empty"), "--out", str(tmp_path / "out")]
    assert fashion.main(arguments) == 1
    assert "empty" in capsys.readouterr().err


def test_what_a_run_of_a_billion_epochs_did_is_kept():
    """Only what is done is counted: Ctrl-C is how such a run ends."""
    settings = Settings(epochs=10**9, train_images=129)
    history = History(("SGD", "CLR"), np.ones((2, 1, 2, 4)))
    results = fashion.collect(settings, "", history, {})
    assert results["rate_sums"]["SGD"] == pytest.approx(0.01 * 2 * 3)

"""One program on 1, 2, 4 and 8 devices: the same history, and code for GPU and TPU."""

import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import jax
import numpy as np
import optax
import pytest

import tiny_idx
from lab import training
from lab.data.sources import FashionMNIST
from lab.training import METRICS
from lab.tutorial.settings import Settings

PROGRAM = Path(__file__).parents[3] / "experiments" / "fashion.py"
# three seeds are six runs: on 4 devices two share a run's batch, on 8 devices four do;
# 42 images are two parts of 21, which neither two nor four can share evenly
ARGUMENTS = ["--epochs", "2", "--batch-size", "42", "--seeds", "3"]


def start(data, out, devices, *arguments):
    """The program on tiny data on so many virtual devices, in its own process."""
    command = [sys.executable, tiny_idx.__file__, data, PROGRAM, "--data-dir", data]
    return subprocess.Popen(
        [*command, *ARGUMENTS, "--out", out, *arguments],
        env=os.environ | {"JAX_NUM_CPU_DEVICES": str(devices)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def figures(out):
    """(how many devices, array of arms, metrics, seeds, epochs)."""
    results = json.loads((out / "fashion.json").read_text())
    history = results["history"]
    table = [[history[arm][name] for name in METRICS] for arm in ("SGD", "CLR")]
    return results["environment"]["devices"], np.array(table)


@pytest.mark.slow
def test_the_history_does_not_depend_on_the_number_of_devices(tmp_path):
    data = tmp_path / "idx"
    tiny_idx.write(data, train=200, test=50)
    started = {n: start(data, tmp_path / str(n), n) for n in (1, 2, 4, 8)}
    printed = {n: process.communicate()[0] for n, process in started.items()}
    for devices, process in started.items():
        assert process.returncode == 0, printed[devices]
    _, expected = figures(tmp_path / "1")
    for devices in started:
        found, history = figures(tmp_path / str(devices))
        assert found == devices
        losses = [METRICS.index("loss"), METRICS.index("val_loss")]
        np.testing.assert_allclose(history[:, losses], expected[:, losses], rtol=1e-4)
        # an image whose two best classes are equal may change sides
        np.testing.assert_allclose(history, expected, rtol=1e-4, atol=1.01 / 50)


@pytest.mark.parametrize(
    ("runs", "devices", "shape"),
    [(2, 1, (1, 1)), (2, 2, (2, 1)), (2, 8, (2, 4)), (6, 4, (2, 2)), (10, 5, (5, 1))],
)
def test_devices_take_runs_first_and_then_share_data(monkeypatch, runs, devices, shape):
    made = []
    monkeypatch.setattr(jax, "device_count", lambda: devices)
    monkeypatch.setattr(jax, "make_mesh", lambda sizes, names, **_: made.append(sizes))
    training.make_mesh(runs)
    assert made == [shape]


@pytest.fixture
def as_accelerators_do(monkeypatch):
    """A device takes its runs as a batch, and each run's batches whole."""
    pace = training._pace
    monkeypatch.setattr(
        training, "_pace", lambda _, batch_size: pace("cuda", batch_size)
    )


def test_runs_as_a_batch_give_the_same_history(as_accelerators_do, monkeypatch):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (50, 28, 28), dtype=np.uint8)
    labels = rng.integers(0, 10, 50)
    data = FashionMNIST(images, labels, images, labels, "")
    optimizers = {arm: optax.sgd(rate) for arm, rate in Settings().arms.items()}
    train = partial(training.train, optimizers, data, seeds=2, epochs=1, batch_size=40)
    (batched,) = train()
    monkeypatch.undo()
    (in_turn,) = train()
    np.testing.assert_allclose(batched.figures, in_turn.figures, rtol=1e-5)
    assert len(np.unique(in_turn.figures[..., METRICS.index("loss")])) == 4


@pytest.mark.parametrize("platform", ["cuda", "tpu"])
def test_an_epoch_lowers_for_accelerators(platform, as_accelerators_do):
    """Training and evaluation as one program; neither platform is needed for that."""
    settings = Settings(train_images=640)
    optimizers = {arm: optax.sgd(rate) for arm, rate in settings.arms.items()}
    mesh = training.make_mesh(2)
    epoch = partial(training._epoch, mesh, tuple(optimizers.values()), 64)
    arrays = tuple(
        jax.ShapeDtypeStruct(shape, dtype)
        for rows in (640, 100)
        for shape, dtype in (((rows, 28, 28), np.uint8), ((rows,), np.int32))
    )
    state = jax.eval_shape(lambda: training.initial_state(optimizers, 1))
    runs = (np.arange(2, dtype=np.int32), np.zeros(2, np.int32))
    exported = jax.export.export(jax.jit(epoch), platforms=[platform])(
        state, runs, np.int32(0), arrays
    )
    assert exported.platforms == (platform,)
    trained, metrics = jax.tree.unflatten(exported.out_tree, exported.out_avals)
    assert metrics.shape == (2, len(METRICS))
    kinds = [(leaf.shape, leaf.dtype) for leaf in jax.tree.leaves(state)]
    assert [(leaf.shape, leaf.dtype) for leaf in jax.tree.leaves(trained)] == kinds

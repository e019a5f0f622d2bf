"""One program on 1, 2, 4 and 8 devices: the same history, and code for GPU and TPU."""

import json
from functools import partial

import jax
import numpy as np
import pytest
import tiny_idx
from made_data import random_images

from lab import devices, network, training
from lab.history import METRICS
from lab.tutorial.settings import Settings

# one seed is two runs: on 4 devices two share a run's batch, on 8 devices four do; 42
# images are two parts of 21, which neither two nor four can share evenly
ARGUMENTS = ["--epochs", "2", "--batch-size", "42", "--seeds", "1"]


def figures(out):
    """(how many devices, array of arms, metrics, seeds, epochs)."""
    results = json.loads((out / "fashion.json").read_text())
    history = results["history"]
    table = [[history[arm][name] for name in METRICS] for arm in ("SGD", "CLR")]
    return results["environment"]["devices"], np.array(table)


@pytest.mark.slow
def test_the_history_does_not_depend_on_the_number_of_devices(tmp_path, start_fashion):
    data = tmp_path / "idx"
    tiny_idx.write(data, train=200, test=50)
    started = {}
    for count in (1, 2, 4, 8):
        arguments = [*ARGUMENTS, "--out", tmp_path / str(count)]
        environment = {"JAX_NUM_CPU_DEVICES": str(count)}
        started[count] = start_fashion(data, *arguments, **environment)
    errors = {count: process.communicate()[1] for count, process in started.items()}
    for count, process in started.items():
        assert process.returncode == 0, errors[count]
    _, expected = figures(tmp_path / "1")
    for count in started:
        found, history = figures(tmp_path / str(count))
        assert found == count
        losses = [METRICS.index("loss"), METRICS.index("val_loss")]
        np.testing.assert_allclose(history[:, losses], expected[:, losses], rtol=1e-4)
        # an image whose two best classes are equal may change sides
        np.testing.assert_allclose(history, expected, rtol=1e-4, atol=1.01 / 50)


@pytest.mark.parametrize(
    ("runs", "count", "shape"),
    [
        (2, 1, (1, 1)),
        (2, 2, (2, 1)),
        (2, 8, (2, 4)),
        (6, 4, (4, 1)),  # two runs come twice
        (5, 4, (2, 2)),  # in place of three
        (10, 5, (5, 1)),
        (1, 2, (1, 2)),
        (81, 2, (2, 1)),
    ],
)
def test_devices_take_runs_first_and_then_share_data(monkeypatch, runs, count, shape):
    made = []
    monkeypatch.setattr(jax, "device_count", lambda: count)
    monkeypatch.setattr(jax, "make_mesh", lambda sizes, names, **_: made.append(sizes))
    devices.make_mesh(runs, shared=True)
    devices.make_mesh(runs, shared=False)
    assert made == [shape, (count, 1)]


@pytest.fixture
def as_accelerators_do(monkeypatch):
    """A device takes its runs as a batch, and each run's batches whole."""
    monkeypatch.setattr(jax, "default_backend", lambda: "cuda")


def trained():
    """The history of an epoch, compiled anew."""
    training._advancing.cache_clear()
    network._epoch.clear_cache()
    data = random_images(50, 0)
    data = data._replace(test=data.train)
    arms = Settings().arms
    work = network.training(arms, data, seeds=2, epochs=1, batch_size=40)
    (epoch,) = work.go_on(work.start())
    return epoch.runs.figures


@pytest.mark.slow
def test_runs_as_a_batch_give_the_same_history(as_accelerators_do, monkeypatch):
    batched = trained()
    monkeypatch.undo()
    np.testing.assert_allclose(batched, trained(), rtol=1e-5)
    assert len(np.unique(batched[..., METRICS.index("loss")])) == 4


@pytest.mark.parametrize(
    "platform", ["cuda", pytest.param("tpu", marks=pytest.mark.slow)]
)
def test_an_epoch_lowers_for_accelerators(platform, as_accelerators_do):
    """Training and evaluation as one program; neither platform is needed for that."""
    arms = Settings(train_images=640).arms
    data = random_images(640, 100)
    work = network.training(arms, data, seeds=1, epochs=1, batch_size=64)
    state = work.start().state
    of_one = partial(training.advance, work.task, work.weights, work.optimizers)
    program = jax.jit(partial(training.over_runs, of_one, work.mesh))
    arguments = work._arguments(state, 0, work.data)
    shapes = jax.eval_shape(lambda: arguments)
    exported = jax.export.export(program, platforms=[platform])(*shapes)
    assert exported.platforms == (platform,)
    trained, metrics = jax.tree.unflatten(exported.out_tree, exported.out_avals)
    assert metrics.shape == (2, len(METRICS))
    kinds = [(leaf.shape, leaf.dtype) for leaf in jax.tree.leaves(state)]
    assert [(leaf.shape, leaf.dtype) for leaf in jax.tree.leaves(trained)] == kinds

"""A cell that is measured: its trainings, its tests, and what peers read."""

import multiprocessing
import os
import signal

import jax
import numpy as np
import optax
import pytest
from made_data import random_images

from clr_optax import clr_schedule
from lab import LabError
from lab.battery import parts
from lab.battery.further import further_tasks
from lab.battery.peers import fastai_valley, lightning, torch_lr_finder
from lab.battery.protocol import OPTIMIZERS, PARTS, SHORT, Cell, Settings, cells
from lab.battery.tasks import Task, images_of, tabular, tasks

STEPS = 20


@pytest.fixture(scope="module")
def task():
    return tabular()


@pytest.mark.slow
def test_a_point_of_the_grid_is_a_plain_training(task):
    optimizer = OPTIMIZERS["Adam"].make
    before, after = parts.grid_of_cycles(task, optimizer, STEPS)([0.01], [3])
    key = jax.random.key(3)
    params = task.init(key)
    assert before[0, 0] == pytest.approx(float(task.held_out(params)), rel=1e-5)
    transformation = optax.adam(clr_schedule(0.001, 0.01, STEPS // 2))
    state = transformation.init(params)
    gradient = jax.jit(jax.grad(task.loss))
    for step in range(STEPS):
        grads = gradient(params, jax.random.fold_in(key, step))
        updates, state = transformation.update(grads, state, params)
        params = optax.apply_updates(params, updates)
    assert after[0, 0] == pytest.approx(float(task.held_out(params)), rel=1e-4)
    assert after < before


def test_a_training_that_gets_worse_counts_as_none(task):
    before, after = parts.grid_of_cycles(task, optax.sgd, STEPS)([1e6], [0])
    np.testing.assert_array_equal(after, before)


def test_the_grid_goes_on_where_its_best_peak_is_at_the_edge(monkeypatch):
    """Of a quadratic SGD solves in one step at 0.5, above all peaks of a low grid."""

    def loss(params, key):
        return ((params - 1) ** 2).sum()

    bowl = Task(lambda key: jax.numpy.zeros(2), loss, lambda params: loss(params, 0))
    monkeypatch.setattr(parts, "made_task", lambda name, folder: bowl)
    settings = Settings(seeds=2, peaks=4, cycle=20, test_steps=(30,), ratios=(1, 10))
    found = parts.measured(settings, None, Cell("bowl", "SGD", "choosing"))
    assert found["peaks"] == (2.0 ** np.arange(-8, 2)).tolist()  # twice three more
    ends = np.array(found["ends"])
    assert ends.shape == (10, 2)
    assert found["peaks"][ends[:, 0].argmin()] in (0.5, 1)
    assert found["untrained"] == [2, 2]
    losses = np.array(found["tests"]["30"]["losses"], float)
    assert losses.shape == (2, 30)
    assert [len(found[name]) for name in ("ratios", "sweeps")] == [2, 2]
    assert found["sweeps"][0]["start"] <= 2


@pytest.mark.parametrize(
    ("ends", "edge"),
    [
        ([1, 2, 3], 0),
        ([3, 2, 1], -1),
        ([2, 1, 2], None),
        ([1.13, 1, 2], 0),
        ([1.15, 1, 2], None),
        ([2, 1, 1.13], -1),
        ([2, 1, 1.15], None),
    ],
)
def test_an_edge_is_good_to_two_percent_of_the_fall(ends, edge):
    """A fall from 8 to 1, the means of two seeds."""
    after = np.add.outer(ends, [-0.5, 0.5])
    assert parts._good_edge(np.full((3, 2), 8.0), after) == edge


def test_all_tasks_have_their_optimizers_and_parts():
    named = {task for part in PARTS.values() for task in part}
    images = random_images(1, 1)
    given = images_of(images.train), images_of(images.test), None
    assert named == set(tasks(*given)) | set(further_tasks(*given))
    whole = cells(Settings())
    assert len(whole) == len(set(whole)) == Settings().cells
    assert {cell.optimizer for cell in whole} == OPTIMIZERS.keys()
    assert {cell.part for cell in cells(SHORT)} == PARTS.keys()
    reporting = [cell.task for cell in whole if cell.part == "reporting"]
    choosing = {cell.task for cell in whole if cell.part == "choosing"}
    assert len(reporting) == 28
    assert choosing.isdisjoint(reporting)


LRS = np.geomspace(1e-6, 10, 200)


def place(rate):
    return int(np.abs(LRS - rate).argmin())


def test_torch_lr_finder_takes_the_steepest_point_of_its_running_mean():
    losses = np.where(np.arange(200) < 100, 2.0, 1.0)
    assert place(torch_lr_finder(LRS, losses)) == 100  # its mean falls from there on


def test_lightning_s_fall_is_by_rate_so_small_rates_win():
    losses = np.full(200, 3.0)
    losses[50:] = 2.9  # a small fall, at a small rate
    losses[150:] = 1.0
    assert place(lightning(LRS, losses)) in (49, 50)


def test_fastai_s_valley_is_half_way_down_the_longest_fall():
    """It smooths by 0.98, leaves out a tenth and five, and goes to a third and half."""
    losses = np.where(np.arange(200) < 60, 2.0, 2.0 - (np.arange(200) - 60) / 100)
    losses[160:] = 9.0
    # what falls of the smoothed losses, from 60 to 159, of which it takes one half
    assert abs(place(fastai_valley(LRS, losses)) - 109) <= 2


def test_one_process_has_the_gpu(monkeypatch):
    monkeypatch.setattr(parts, "measured", lambda settings, folder, cell: cell)
    monkeypatch.setattr(parts.jax, "default_backend", lambda: "gpu")
    assert list(parts.measure(SHORT, None, cells(SHORT))) == cells(SHORT)


def killed(*_):
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.slow
def test_a_process_that_is_killed_is_told(monkeypatch):
    """As by a system that is out of memory."""
    monkeypatch.setattr(parts, "measured", killed)
    with pytest.raises(LabError, match=r"was killed, .*--resume goes on"):
        list(parts.measure(SHORT, None, cells(SHORT)))
    assert not multiprocessing.active_children()

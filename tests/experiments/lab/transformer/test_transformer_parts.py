"""Runs on the devices, against a plain loop."""

import io

import jax
import numpy as np
import optax
import pytest
from rich.console import Console

from lab.checkpoints import Trainings
from lab.training import schedule_free_weights, trained
from lab.transformer.network import Network
from lab.transformer.parts import Stage, new_rows
from lab.transformer.protocol import (
    FREE_SWEPT,
    SHORT,
    free_arms,
    planned_arms,
)
from lab.transformer.text import loader, read_text, windows

pytestmark = pytest.mark.slow

TEXT = read_text()
LENGTH = 12
ARM = "CLR one cycle, b1 too"


@pytest.fixture(scope="module")
def network():
    return Network(SHORT, TEXT.vocabulary)


@pytest.fixture(scope="module")
def stage():
    arms = planned_arms((0.001, 0.01), 0.02, LENGTH, SHORT)
    return Stage("final", [LENGTH], arms, 2, TEXT.first, TEXT.second[:500])


@pytest.fixture(scope="module")
def trainings(tmp_path_factory):
    console = Console(file=io.StringIO())
    return Trainings(tmp_path_factory.mktemp("stage"), {}, console, planned=30)


@pytest.fixture(scope="module")
def rows(stage, network, trainings):
    return new_rows(stage, network, trainings, [])


def test_a_run_is_what_a_plain_loop_computes(stage, network, rows):
    seed, arm = 1, stage.arms[ARM]
    optimizer = optax.inject_hyperparams(optax.adamw)(**arm.numbers)
    key = jax.random.key(seed)
    params, rest = network.start(key)
    state = optimizer.init(params)
    batches = iter(loader(TEXT.first, SHORT.context, SHORT.batch_size, seed))
    losses = []
    gradient = jax.jit(jax.value_and_grad(network.loss_fn, has_aux=True))
    for _ in range(LENGTH):
        key, dropout_key = jax.random.split(key)
        (loss, rest), grads = gradient(params, rest, next(batches), dropout_key)
        updates, state = optimizer.update(grads, state, params)
        params = optax.apply_updates(params, updates)
        losses.append(loss)
    tokens, counted = windows(stage.scored, SHORT.context)
    bits = network.score(params, rest, tokens)[counted].mean()

    row = next(r for r in rows if (r["arm"], r["seed"]) == (ARM, seed))
    assert row["bits"] == pytest.approx(float(bits), rel=1e-4)
    means = np.reshape(losses, (-1, SHORT.every)).mean(axis=1)
    np.testing.assert_allclose(row["losses"], means, rtol=1e-4)


def test_every_arm_meets_every_seed_once(stage, rows):
    runs = [(row["arm"], row["seed"]) for row in rows]
    assert runs == [(arm, seed) for seed in (0, 1) for arm in stage.arms]
    assert len({row["bits"] for row in rows}) == len(rows)


def test_what_is_known_is_not_trained_again(stage, network, trainings, rows):
    """And not left to do."""
    left = trainings.progress.left
    assert new_rows(stage, network, trainings, rows) == []
    stretches = LENGTH // SHORT.every
    assert left - trainings.progress.left == len(stage.arms) * 2 * stretches


def test_runs_that_do_not_fill_the_devices_are_the_same(
    stage, network, trainings, rows, monkeypatch
):
    """On four devices ten runs need three rounds, of which two places stay over."""
    arms = {arm: stage.arms[arm] for arm in list(stage.arms)[:3]}
    three = stage._replace(name="three", arms=arms, seeds=1)
    again = new_rows(three, network, trainings, [])
    first = [row for row in rows if row["seed"] == 0][:3]
    for row, expected in zip(again, first, strict=True):
        np.testing.assert_allclose(row["losses"], expected["losses"], rtol=1e-5)
        assert row["bits"] == pytest.approx(expected["bits"], rel=1e-5)


def test_a_run_that_is_read_twice_is_the_shorter_run_first(stage, network, trainings):
    """Schedule-Free knows no length; so, what it is at 12 steps tells a run of 12."""
    arms = free_arms({FREE_SWEPT: 0.01}, SHORT)
    long = stage._replace(
        name="long", arms=arms, reads=(12, 24), weights=schedule_free_weights
    )
    short = long._replace(name="short", reads=(12,))
    read_twice = new_rows(long, network, trainings, [])
    alone = new_rows(short, network, trainings, [])
    assert [row["length"] for row in read_twice] == [12, 12, 24, 24]
    for row, expected in zip(read_twice[:2], alone, strict=True):
        assert row["bits"] == pytest.approx(expected["bits"], rel=1e-6)
        np.testing.assert_allclose(row["losses"], expected["losses"], rtol=1e-6)
    for row, expected in zip(read_twice[2:], alone, strict=True):
        assert row["bits"] < expected["bits"]
        assert len(row["losses"]) == 2 * len(expected["losses"])
    as_trained = short._replace(name="as trained", weights=trained)
    trained_rows = new_rows(as_trained, network, trainings, [])
    assert abs(trained_rows[0]["bits"] - alone[0]["bits"]) > 1e-3

"""Stages: what is done is not done again, and the time left is told."""

import io

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from rich.console import Console

from lab import stages
from lab.arms import Arm
from lab.history import History, Runs
from lab.stages import Stages
from lab.training import Epoch, State

ARMS = {name: Arm(name, "fixed", optax.constant_schedule(0.1)) for name in "ab"}


def start(optimizers, seeds):
    state = State({"w": jnp.zeros(len(optimizers) * seeds)}, {"count": jnp.zeros(1)})
    return Runs(History.empty(optimizers, seeds), state)


def train(optimizers, data, runs, *, epochs, batch_size):
    """Stands for training: a minute for each epoch of all runs, ten for compiling."""
    history = runs.history
    while history.epochs < epochs:
        history = history.add(np.full((2, 3, 4), 0.5, np.float32))
        yield Epoch(Runs(history, runs.state), 60.0, 600.0)


@pytest.fixture
def new(monkeypatch, tmp_path):
    """Makes stages in the same folder; returns them and what they print."""
    monkeypatch.setattr(stages, "start", start)
    monkeypatch.setattr(stages, "train", train)

    def new():
        file = io.StringIO()
        console = Console(file=file, soft_wrap=True)
        made = Stages(tmp_path, {"n": 1}, 64, console, {}, keep_every=2, planned=60)
        return made, file

    return new


def test_the_time_left_is_that_of_the_epochs_left(new):
    made, printed = new()
    made.train("one", ARMS, None, seeds=3, epochs=2)
    first, second = printed.getvalue().splitlines()
    # an epoch of 6 runs takes a minute; 54 and 48 epochs of runs are left
    assert first.endswith("; about 9 min left")
    assert second.endswith("; about 8 min left")
    assert made.seconds == {"one": 2 * 60 + 600}


def test_what_was_done_before_is_not_left_and_did_not_take_this_session(new):
    new()[0].train("one", ARMS, None, seeds=3, epochs=2)
    made, printed = new()
    made.train("one", ARMS, None, seeds=3, epochs=2)
    assert printed.getvalue() == ""
    made.train("two", ARMS, None, seeds=3, epochs=1)
    assert printed.getvalue().endswith("; about 7 min left\n")

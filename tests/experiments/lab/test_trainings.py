"""Trainings one after the other: what is done stays done, what is left is told."""

import io

import jax.numpy as jnp
import numpy as np
import pytest
from rich.console import Console

from lab import LabError
from lab.checkpoints import Trainings
from lab.training import Arm, Runs, State, Stretch


def state(count):
    return State({"w": jnp.zeros(count)}, {"count": jnp.zeros(count)}, ())


class Minutes:
    """Stands for a training of two arms on three seeds: a minute a stretch."""

    def __init__(self, until, rate=0.1):
        self.arms = {
            name: Arm(f"{name} at {rate}", "fixed", None, None) for name in "ab"
        }
        self.count, self.until = 6, until

    def start(self):
        return Runs(np.zeros((6, 0, 0), np.float32), state(6))

    def go_on(self, runs):
        for number in range(runs.done + 1, self.until + 1):
            figures = np.full((6, number, 4), 0.5, np.float32)
            runs = Runs(figures, runs.state, runs.seconds + 60.0)
            yield Stretch(runs, 60.0, 600.0)


def trainings(folder):
    """Some trainings of 60 stretches of runs, and what they print."""
    file = io.StringIO()
    console = Console(file=file, soft_wrap=True)
    return Trainings(folder, {"n": 1}, console, planned=60), file


def told(stretch):
    return f"{stretch.runs.done} done"


def test_the_time_left_is_that_of_what_is_left(tmp_path):
    made, printed = trainings(tmp_path)
    made.train("one", Minutes(2), told)
    # a stretch of 6 runs takes a minute; 54 and 48 stretches of runs are left
    assert printed.getvalue().splitlines() == [
        "one: 1 done; about 9 min left",
        "one: 2 done; about 8 min left",
    ]
    assert made.seconds == {"one": 2 * 60}


def test_what_was_done_before_is_not_left_and_did_not_take_this_session(tmp_path):
    trainings(tmp_path)[0].train("one", Minutes(2), told)
    made, printed = trainings(tmp_path)
    made.train("one", Minutes(2), told)
    assert printed.getvalue() == ""
    assert made.seconds == {"one": 2 * 60}
    made.train("two", Minutes(1), told)
    assert printed.getvalue() == "two: 1 done; about 7 min left\n"


def test_a_training_may_go_on_where_another_has_come(tmp_path):
    made, printed = trainings(tmp_path)
    reached = made.train("one", Minutes(2), told)
    runs = made.train("two", Minutes(5), told, reached)
    assert runs.done == 5
    assert made.seconds == {"one": 2 * 60, "two": 3 * 60}
    # of the 60, 12 and then 18 are done
    assert printed.getvalue().splitlines()[-1] == "two: 5 done; about 5 min left"
    again, printed = trainings(tmp_path)
    again.train("one", Minutes(2), told)
    again.train("two", Minutes(5), told, reached)
    assert not printed.getvalue()
    assert again.progress.left == 60 - 5 * 6


@pytest.mark.parametrize(("every", "resumed"), [(1, 5), (2, 4), (3, 3)])
def test_a_training_is_saved_every_few_stretches_and_at_its_end(
    tmp_path, every, resumed
):
    def stopping(stretch):
        if stretch.runs.done == 5:
            raise KeyboardInterrupt
        return ""

    with pytest.raises(KeyboardInterrupt):
        trainings(tmp_path)[0].train("one", Minutes(7), stopping, save_every=every)
    made, printed = trainings(tmp_path)
    runs = made.train("one", Minutes(7), told, save_every=every)
    assert printed.getvalue().startswith(f"one: {resumed + 1} done")
    assert (runs.done, made.seconds["one"]) == (7, 7 * 60)
    assert made.at("one", Minutes(7), [7])[0].done == 7


def test_a_training_of_other_arms_or_settings_does_not_go_on(tmp_path):
    trainings(tmp_path)[0].train("one", Minutes(1), told)
    with pytest.raises(LabError, match=r"b was b at 0\.1, is b at 0\.2"):
        trainings(tmp_path)[0].train("one", Minutes(2, rate=0.2), told)
    other, _ = trainings(tmp_path)
    other.settings = {"n": 2}
    with pytest.raises(LabError, match="n was 1, is 2"):
        other.train("one", Minutes(2), told)

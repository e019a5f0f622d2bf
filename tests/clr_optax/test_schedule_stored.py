"""A schedule in files and other processes: pickle, cloudpickle, dill, YAML."""

import copy
import enum
import functools
import os
import pickle
import sys

import children
import numpy as np
import pytest
import yaml

from clr_optax import clr_schedule, momentum_schedule

FACTORIES = [clr_schedule, momentum_schedule]
PLAIN = clr_schedule(0.0, 1.0, 4, mode="triangular2", anneal="cosine")
NAMELESS = "scale_fn as a function that can be imported, to be stored, .*define it with"


def inverse(cycle):
    return 1 / cycle


class Fade:
    def __call__(self, cycle):
        return 0.5


def local():
    """Returns a function that has a name, but none that can be imported."""

    def halve(cycle):
        return 2.0 ** (1 - cycle)

    return halve


def load_elsewhere(stored, call="repr(schedule)"):
    """Returns what a fresh process prints about a schedule that it loads."""
    load = "import pickle, sys; schedule = pickle.load(sys.stdin.buffer)"
    done = children.run(
        [sys.executable, "-c", f"{load}; print({call})"],
        input=stored,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        check=True,
    )
    return done.stdout.decode().strip()


def test_a_word_of_any_class_is_kept_as_plain_text():
    class Mode(enum.StrEnum):
        HALVED = "triangular2"

    schedule = clr_schedule(0.0, 1.0, 4, mode=Mode.HALVED, anneal=np.str_("cosine"))
    assert schedule == PLAIN
    assert repr(schedule) == repr(PLAIN)
    assert yaml.safe_dump(schedule.config()) == yaml.safe_dump(PLAIN.config())


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickle_carries_what_has_a_name(protocol):
    for schedule in (PLAIN, clr_schedule(0.0, 1.0, 4, scale_fn=inverse)):
        assert pickle.loads(pickle.dumps(schedule, protocol)) == schedule
    partial = clr_schedule(0.0, 1.0, 4, scale_fn=functools.partial(inverse))
    assert pickle.loads(pickle.dumps(partial, protocol))(12) == 0.5


def test_pickle_carries_to_another_process():
    assert load_elsewhere(pickle.dumps(PLAIN)) == repr(PLAIN)


@pytest.mark.parametrize("scale_fn", [lambda cycle: 1 / cycle, local(), Fade()])
@pytest.mark.parametrize("factory", FACTORIES)
def test_config_refuses_functions_without_a_name(factory, scale_fn):
    schedule = factory(0.0, 0.5, 4, scale_fn=scale_fn)
    with pytest.raises(TypeError, match=f"^{factory.__name__} needs {NAMELESS} def"):
        schedule.config()
    assert schedule(3) > 0
    assert copy.deepcopy(schedule) == schedule


@pytest.mark.parametrize("scale_fn", [lambda cycle: 1 / cycle, local()])
def test_functions_without_a_name_need_cloudpickle_or_dill(scale_fn):
    schedule = clr_schedule(0.0, 1.0, 4, scale_fn=scale_fn, anneal="cosine")
    with pytest.raises((pickle.PicklingError, AttributeError), match="<"):
        pickle.dumps(schedule)
    for package in map(pytest.importorskip, ("cloudpickle", "dill")):
        stored = package.dumps([{"lr": schedule}])
        loaded = package.loads(stored)[0]["lr"]
        assert type(loaded) is type(schedule)
        assert loaded.factory is clr_schedule
        assert loaded(12) == schedule(12) == 0.5
        assert load_elsewhere(stored, "float(schedule[0]['lr'](12))") == "0.5"


@pytest.mark.parametrize("factory", FACTORIES)
def test_yaml_stores_the_config(factory):
    schedule = factory(0.25, 0.5, 4, cycle_mult=2, mode="exp_range", gamma=0.5)
    config = yaml.safe_load(yaml.safe_dump(schedule.config()))
    assert factory(**config) == schedule

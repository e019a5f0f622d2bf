"""A schedule in files and other processes: pickle, cloudpickle, dill, YAML."""

import copy
import functools
import os
import pickle
import sys

import children
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


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickle_carries_what_has_a_name(protocol):
    for schedule in (PLAIN, clr_schedule(0.0, 1.0, 4, scale_fn=inverse)):
        assert pickle.loads(pickle.dumps(schedule, protocol)) == schedule


def test_pickle_says_that_a_function_has_no_name():
    for scale_fn in (lambda cycle: 1 / cycle, local()):
        schedule = clr_schedule(0.0, 1.0, 4, scale_fn=scale_fn)
        with pytest.raises((pickle.PicklingError, AttributeError), match="<"):
            pickle.dumps(schedule)


def test_pickle_carries_to_another_process():
    assert load_elsewhere(pickle.dumps(PLAIN)) == repr(PLAIN)


def test_callable_objects_pickle_in_their_own_way():
    schedule = clr_schedule(0.0, 1.0, 4, scale_fn=functools.partial(inverse))
    assert pickle.loads(pickle.dumps(schedule))(12) == 0.5


@pytest.mark.parametrize("scale_fn", [lambda cycle: 1 / cycle, local(), Fade()])
@pytest.mark.parametrize("factory", FACTORIES)
def test_config_refuses_functions_without_a_name(factory, scale_fn):
    schedule = factory(0.0, 0.5, 4, scale_fn=scale_fn)
    with pytest.raises(TypeError, match=f"^{factory.__name__} needs {NAMELESS} def"):
        schedule.config()
    assert schedule(3) > 0
    assert copy.deepcopy(schedule) == schedule


class Holder:
    """Holds a schedule, as a trainer does."""

    def __init__(self, schedule):
        self.schedule = schedule


@pytest.mark.parametrize("package", ["cloudpickle", "dill"])
@pytest.mark.parametrize("hold", [lambda x: x, lambda x: [{"lr": x}], Holder])
def test_functions_without_a_name_are_stored_by_value(package, hold):
    package = pytest.importorskip(package)
    scale = 3.0
    for scale_fn in (lambda cycle: scale / cycle, local()):
        schedule = clr_schedule(0.0, 1.0, 4, scale_fn=scale_fn, anneal="cosine")
        loaded = package.loads(package.dumps(hold(schedule)))
        loaded = loaded[0]["lr"] if isinstance(loaded, list) else loaded
        loaded = loaded.schedule if isinstance(loaded, Holder) else loaded
        assert type(loaded) is type(schedule)
        assert loaded(12) == schedule(12) == scale_fn(2.0)
        assert loaded.factory is clr_schedule
        with pytest.raises(TypeError, match=NAMELESS):
            loaded.config()


@pytest.mark.parametrize("package", ["cloudpickle", "dill"])
def test_functions_by_value_carry_to_another_process(package):
    package = pytest.importorskip(package)
    schedule = clr_schedule(0.0, 1.0, 4, scale_fn=lambda cycle: 1 / cycle)
    assert load_elsewhere(package.dumps(schedule), "float(schedule(12))") == "0.5"
    assert package.loads(package.dumps(PLAIN)) == PLAIN


@pytest.mark.parametrize("factory", FACTORIES)
def test_yaml_stores_the_config(factory):
    schedule = factory(0.25, 0.5, 4, mode="exp_range", gamma=0.5)
    config = yaml.safe_load(yaml.safe_dump(schedule.config()))
    assert factory(**config) == schedule
    text = yaml.dump({"lr": schedule})
    assert "from_config" in text
    assert yaml.unsafe_load(text)["lr"] == schedule
    named = factory(0.25, 0.5, 4, scale_fn=inverse)
    assert yaml.unsafe_load(yaml.dump(named)) == named

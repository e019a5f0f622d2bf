"""A schedule is a value: equal, hashable, printed, stored and read again."""

import copy
import functools
import json
import os
import pickle
import subprocess
import sys
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clr_optax import clr_schedule, momentum_schedule


def inverse(cycle):
    return 1 / cycle


class Fade:
    @staticmethod
    def slowly(step):
        return 1 / (1 + step / 100)

    def __call__(self, cycle):
        return 0.5


sizes = st.integers(1, 2**30 - 1)
options = st.fixed_dictionaries(
    {},
    optional={"step_size_down": sizes},
) | st.sampled_from(
    [
        {"mode": "triangular2"},
        {"mode": "exp_range", "gamma": 0.99},
        {"scale_fn": inverse},
        {"scale_fn": Fade.slowly, "scale_mode": "iterations"},
    ]
)


@st.composite
def schedules(draw):
    factory = draw(st.sampled_from([clr_schedule, momentum_schedule]))
    low, high = sorted(draw(st.tuples(*[st.floats(0, 0.999)] * 2)))
    return factory(low, high, draw(sizes), **draw(options))


@given(schedules(), schedules())
def test_equal_numbers_make_equal_schedules(one, other):
    assert one == eval(repr(one))
    assert hash(one) == hash(eval(repr(one)))
    assert (one == other) == (repr(one) == repr(other))
    assert one != repr(one)


@given(schedules())
def test_json_and_pickle_build_it_again(schedule):
    text = json.dumps(schedule.config(), allow_nan=False)
    assert schedule.factory(**json.loads(text)) == schedule
    assert pickle.loads(pickle.dumps(schedule)) == schedule
    assert copy.deepcopy(schedule) == copy.copy(schedule) == schedule


def test_config_is_the_call():
    schedule = clr_schedule(0, 1, 4.0, step_size_down=2, scale_fn=inverse)
    assert schedule.config() == {
        "base_lr": 0.0,
        "max_lr": 1.0,
        "step_size": 4,
        "step_size_down": 2,
        "mode": "triangular",
        "gamma": 1.0,
        "scale_fn": f"{__name__}:inverse",
        "scale_mode": "cycle",
    }


def test_repr_shows_what_differs_from_the_defaults():
    assert repr(clr_schedule(0.1, 1, 4)) == (
        "clr_schedule(base_lr=0.1, max_lr=1.0, step_size=4)"
    )
    momentum = momentum_schedule(0.85, 0.95, 4, mode="exp_range", gamma=0.5)
    assert repr(momentum) == (
        "momentum_schedule(base_momentum=0.85, max_momentum=0.95, step_size=4, "
        "mode='exp_range', gamma=0.5)"
    )
    assert "scale_fn=inverse" in repr(clr_schedule(0, 1, 4, scale_fn=inverse))


@pytest.mark.parametrize(
    "same",
    [
        clr_schedule(np.float64(0.5), 1, np.int8(4)),
        clr_schedule(Fraction(1, 2), np.float32(1), 4.0),
        clr_schedule(0.5, 1.0, 4, step_size_down=4),
        clr_schedule(0.5, 1.0, 4, scale_mode="cycle", gamma=1),
    ],
)
def test_the_way_a_number_is_written_does_not_matter(same):
    plain = clr_schedule(0.5, 1.0, 4)
    assert same == plain
    assert len({same, plain}) == 1
    assert same != clr_schedule(0.5, 1.0, 5)
    assert same != momentum_schedule(0.5, 0.9, 4)


def test_pickle_carries_to_another_process():
    schedule = clr_schedule(0.0, 1.0, 4, mode="triangular2")
    code = "import pickle, sys; print(repr(pickle.load(sys.stdin.buffer)))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=pickle.dumps(schedule),
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        check=True,
    )
    assert done.stdout.decode().strip() == repr(schedule)


@pytest.mark.parametrize("scale_fn", [lambda cycle: 1 / cycle, Fade()])
def test_unnamed_functions_are_refused_when_stored(scale_fn):
    schedule = clr_schedule(0.0, 1.0, 4, scale_fn=scale_fn)
    rule = "clr_schedule needs scale_fn as a function that can be imported, to be store"
    with pytest.raises(TypeError, match=f"{rule}.*define it with def at the top of a"):
        schedule.config()
    assert schedule(4) > 0
    assert copy.deepcopy(schedule) == schedule


def test_lambdas_are_refused_when_pickled():
    momentum = momentum_schedule(0.5, 0.9, 4, scale_fn=lambda cycle: 1 / cycle)
    with pytest.raises(TypeError, match=r"momentum_schedule needs scale_fn.*<lambda>"):
        pickle.dumps(momentum)


def test_callable_objects_pickle_in_their_own_way():
    schedule = clr_schedule(0.0, 1.0, 4, scale_fn=functools.partial(inverse))
    assert pickle.loads(pickle.dumps(schedule))(12) == 0.5


def test_scale_fn_may_be_its_name():
    named = clr_schedule(0.0, 1.0, 4, scale_fn=f"{__name__}:Fade.slowly")
    assert named == clr_schedule(0.0, 1.0, 4, scale_fn=Fade.slowly)


def test_schedules_cannot_be_changed():
    with pytest.raises(AttributeError, match="cannot assign to field 'step_size'"):
        clr_schedule(0.0, 1.0, 4).step_size = 5


def test_optax_takes_it_for_a_plain_schedule():
    schedule = clr_schedule(0.0, 1.0, 4)
    assert callable(schedule)
    assert not hasattr(schedule, "init")
    assert not hasattr(schedule, "update")


def test_tracers_and_arrays_pass_through():
    shown = []

    def rate(top, half):
        schedule = clr_schedule(0.0, top, half)
        shown.append(repr(schedule))
        assert schedule == schedule
        assert hash(schedule) == hash(schedule)
        assert schedule != clr_schedule(0.0, 1.0, 4)
        return schedule(1)

    tops, halves = jnp.array([1.0, 2.0]), jnp.array([4, 8])
    assert jax.jit(jax.vmap(rate))(tops, halves).tolist() == [0.25, 0.25]
    assert "Trace" in shown[0]
    assert rate(tops, np.array([4, 8])).tolist() == [0.25, 0.25]
    assert "max_lr=Array([1., 2.]" in shown[-1]
    assert clr_schedule(-1.0 * tops, tops, halves)(4).tolist() == [1.0, 0.0]


def test_arrays_compare_by_identity_and_have_no_config():
    top = np.array(1.0)
    schedule = clr_schedule(0.0, top, 4)
    assert schedule == clr_schedule(0.0, top, 4)
    assert schedule != clr_schedule(0.0, top.copy(), 4)
    assert schedule(2) == pickle.loads(pickle.dumps(schedule))(2)
    with pytest.raises(TypeError, match="config needs max_lr as a Python number, got"):
        schedule.config()


def test_schedule_can_be_a_static_argument_or_a_jitted_function():
    schedule = clr_schedule(0.0, jnp.float32(1.0), 4)
    assert jax.jit(schedule)(jnp.arange(3)).tolist() == [0.0, 0.25, 0.5]
    call = jax.jit(lambda schedule, count: schedule(count), static_argnums=0)
    assert call(clr_schedule(0.0, 1.0, 4), 1) == call(clr_schedule(0, 1, 4), 1) == 0.25
    assert call._cache_size() == 1

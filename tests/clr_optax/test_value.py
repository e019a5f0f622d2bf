"""A schedule is a value: equal, hashable, printed, stored and read again."""

import copy
import json
import pickle
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clr_core import clr, suggest_bounds
from clr_optax import CyclicalSchedule, clr_schedule, momentum_schedule


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
    optional={"step_size_down": sizes, "cycle_mult": st.integers(1, 4)},
) | st.sampled_from(
    [
        {"mode": "triangular2"},
        {"mode": "exp_range", "gamma": 0.99},
        {"anneal": "cosine"},
        {"scale_fn": inverse, "anneal": "cosine"},
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
        "cycle_mult": 1,
        "mode": "triangular",
        "gamma": 1.0,
        "scale_fn": f"{__name__}:inverse",
        "scale_mode": "cycle",
        "anneal": "linear",
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
    options = {"cycle_mult": np.int8(2), "scale_fn": inverse, "anneal": "cosine"}
    assert repr(clr_schedule(0, 1, 4, **options)) == (
        "clr_schedule(base_lr=0.0, max_lr=1.0, step_size=4, cycle_mult=2, "
        "scale_fn=inverse, anneal='cosine')"
    )


@pytest.mark.parametrize(
    "same",
    [
        clr_schedule(np.float64(0.5), 1, np.int8(4)),
        clr_schedule(Fraction(1, 2), np.float32(1), 4.0),
        clr_schedule(0.5, 1.0, 4, step_size_down=4),
        clr_schedule(0.5, 1.0, 4, scale_mode="cycle", gamma=1, anneal="linear"),
        clr_schedule(0.5, 1.0, 4, cycle_mult=jnp.float32(1)),
        clr_schedule(np.array(0.5), jnp.float32(1), jnp.int32(4)),
        clr_schedule(jnp.bfloat16(0.5), jnp.asarray(1.0), np.array(4.0)),
    ],
)
def test_the_way_a_number_is_written_does_not_matter(same):
    plain = clr_schedule(0.5, 1.0, 4)
    assert same == plain
    assert len({same, plain}) == 1
    assert repr(same) == repr(plain)
    assert same != clr_schedule(0.5, 1.0, 5)
    assert same != clr_schedule(0.5, 1.0, 4, anneal="cosine")
    assert same != clr_schedule(0.5, 1.0, 4, cycle_mult=2)
    assert same != momentum_schedule(0.5, 0.9, 4)


def test_suggested_bounds_are_kept_as_numbers():
    lrs = 2.0 ** np.arange(-16, 4)
    losses = [2.0] * 8 + [1.75, 1.5, 1.25, 1.0, 0.75, 0.5] + [0.5, 1, 2, 4, 8, 16]
    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        bounds = suggest_bounds(lrs, losses)
    schedule = clr_schedule(*bounds, step_size=10)
    assert schedule(np.array([0, 10])).tolist() == [float(x) for x in bounds]
    assert schedule(0).dtype == jnp.float32
    assert clr_schedule(**schedule.config()) == schedule
    assert pickle.loads(pickle.dumps(schedule)) == schedule == eval(repr(schedule))
    with pytest.raises(ValueError, match="clr_schedule needs base_lr <= max_lr"):
        clr_schedule(*bounds[::-1], step_size=10)


@pytest.mark.parametrize("kind", [np.float64, np.asarray, jnp.float64])
@pytest.mark.parametrize("name", ["base_lr", "max_lr", "step_size", "gamma"])
def test_float64_is_kept_where_it_is_asked_for(kind, name):
    numbers = {"base_lr": 0.125, "max_lr": 0.5, "step_size": 4, "gamma": 0.75}
    exp = {"mode": "exp_range"}
    plain = clr_schedule(**numbers, **exp)
    with jax.enable_x64(True):
        numbers[name] = kind(np.float64(numbers[name]))
        schedule = clr_schedule(**numbers, **exp)
        assert schedule(3).dtype == clr(3, **numbers, **exp).dtype == jnp.float64
        assert f"{name}=np.float64(" in repr(schedule)
        assert eval(repr(schedule)) == schedule == pickle.loads(pickle.dumps(schedule))
        assert schedule != plain
        with pytest.raises(TypeError, match=f"config needs {name} as a Python number"):
            schedule.config()
        stored = pickle.dumps(schedule)
    assert schedule(3).dtype == jnp.float32
    assert pickle.loads(stored) == plain


def test_float64_that_nobody_asked_for_is_not_kept():
    with jax.enable_x64(True):
        weak = clr_schedule(jnp.asarray(0.5), 1.0, 4)
        assert weak == clr_schedule(0.5, 1.0, 4)
        assert weak(3).dtype == jnp.float32


def test_scale_fn_may_be_its_name():
    named = clr_schedule(0.0, 1.0, 4, scale_fn=f"{__name__}:Fade.slowly")
    assert named == clr_schedule(0.0, 1.0, 4, scale_fn=Fade.slowly)


def test_schedules_cannot_be_changed():
    schedule = clr_schedule(0.0, 1.0, 4)
    message = "needs a new call for another {}, such as {}.*schedule.config"
    with pytest.raises(AttributeError, match=message.format("step_size", "clr_sch")):
        schedule.step_size = 5
    with pytest.raises(AttributeError, match=message.format("factory", "clr_schedule")):
        del schedule.factory
    config = schedule.config()
    config["step_size"] = 5
    assert schedule == clr_schedule(0.0, 1.0, 4) != clr_schedule(**config)


def test_optax_takes_it_for_a_plain_schedule():
    schedule = clr_schedule(0.0, 1.0, 4)
    assert isinstance(schedule, CyclicalSchedule)
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


@pytest.mark.parametrize("up", [4, np.array([4])])
@pytest.mark.parametrize("down", [np.array([4]), jnp.array([4, 8])])
def test_a_half_that_is_an_array_is_shown(up, down):
    schedule = clr_schedule(0.0, 1.0, up, step_size_down=down)
    assert f"step_size={up!r}, step_size_down={down!r}" in repr(schedule)
    schedule = clr_schedule(0.0, 1.0, down, step_size_down=up)
    assert f"step_size={down!r}, step_size_down={up!r}" in repr(schedule)


def test_arrays_compare_by_identity_and_have_no_config():
    top = np.array([1.0])
    schedule = clr_schedule(0.0, top, 4)
    assert schedule == clr_schedule(0.0, top, 4)
    assert schedule != clr_schedule(0.0, top.copy(), 4)
    assert schedule(2) == pickle.loads(pickle.dumps(schedule))(2)
    with pytest.raises(TypeError, match="config needs max_lr as a Python number, got"):
        schedule.config()


def test_schedule_can_be_a_static_argument_or_a_jitted_function():
    schedule = clr_schedule(0.0, jnp.ones(1), 4)
    assert jax.jit(schedule)(jnp.arange(3)).tolist() == [0.0, 0.25, 0.5]
    call = jax.jit(lambda schedule, count: schedule(count), static_argnums=0)
    assert call(clr_schedule(0.0, 1.0, 4), 1) == call(clr_schedule(0, 1, 4), 1) == 0.25
    assert call._cache_size() == 1

"""Whatever the schedules are given, they work or say what to do."""

import math
from decimal import Decimal
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import event, example, given
from hypothesis import strategies as st

from clr_optax import clr_schedule, momentum_schedule

GOOD = {"base_lr": 0.1, "max_lr": 0.2, "step_size": 4}
NUMBER = "as a real number or an array of real numbers, got "
GROUPS = "build one schedule for each group of optax.multi_transform"
NAME = "scale_fn as a function or as 'module:name', got scale_fn="
FROM_1 = r"from 1 to 2\*\*31 - 1 \(steps in half a cycle\), got"
HALF = f"a whole step_size {FROM_1} "
KNOWN = "cycle_mult as one number that is known, got cycle_mult="
MULT = r"a whole cycle_mult from 1 to 2\*\*31 - 1, got cycle_mult="

WRONG_KINDS = [
    ({"base_lr": "0.1"}, f"base_lr {NUMBER}base_lr='0.1', leave out the quotes"),
    ({"base_lr": "1e-3"}, "base_lr .*='1e-3', .*, or in YAML write 1.0e-3 for 1e-3"),
    ({"base_lr": None}, f"base_lr {NUMBER}base_lr=None, give it a number"),
    ({"max_lr": True}, f"max_lr {NUMBER}max_lr=True, write 0 or 1"),
    ({"max_lr": np.bool_(True)}, f"max_lr {NUMBER}max_lr=True, write 0 or 1"),
    ({"max_lr": 1j}, f"max_lr {NUMBER}max_lr=1j, take its real part"),
    ({"base_lr": [0.1, 1]}, rf"base_lr {NUMBER}base_lr=\[0.1, 1\], {GROUPS}"),
    ({"base_lr": (0.1,)}, rf"base_lr {NUMBER}base_lr=\(0.1,\), {GROUPS}"),
    ({"base_lr": Decimal(1)}, f"base_lr {NUMBER}base_lr=Decimal.*convert it to float"),
    ({"base_lr": abs}, f"base_lr {NUMBER}base_lr=<built-in function abs>, convert"),
    ({"step_size": [4]}, rf"step_size {NUMBER}step_size=\[4\], {GROUPS}"),
    ({"step_size_down": True}, f"step_size_down {NUMBER}step_size_down=True, write"),
    ({"cycle_mult": "2"}, f"cycle_mult {NUMBER}cycle_mult='2', leave out the quotes"),
    ({"cycle_mult": None}, f"cycle_mult {NUMBER}cycle_mult=None, give it a number"),
    ({"cycle_mult": True}, f"cycle_mult {NUMBER}cycle_mult=True, write 0 or 1"),
    ({"cycle_mult": [2]}, rf"cycle_mult {NUMBER}cycle_mult=\[2\], {GROUPS}"),
    ({"cycle_mult": np.array([2])}, f"{KNOWN}array.*, code is compiled for each"),
    ({"gamma": "0.9"}, f"gamma {NUMBER}gamma='0.9', leave out the quotes"),
    ({"scale_fn": 0.5}, "scale_fn as a function, got scale_fn=0.5, such as lambda cyc"),
    ({"mode": None}, "mode as text, got mode=None, such as 'triangular'"),
    ({"scale_mode": 1}, "scale_mode as text, got scale_mode=1, such as 'cycle'"),
    ({"anneal": True}, "anneal as text, got anneal=True, such as 'linear'"),
    ({"max_lr": np.array(["0.2"])}, f"max_lr {NUMBER}max_lr=array.*convert it to flo"),
    ({"max_lr": jnp.array([1j])}, f"max_lr {NUMBER}max_lr=Array.*convert it to float"),
    ({"step_size": np.array([True])}, f"step_size {NUMBER}step_size=array.*convert"),
]

WRONG_VALUES = [
    ({"base_lr": math.nan}, "a finite base_lr, got base_lr=nan, look at what comput"),
    ({"max_lr": math.inf}, "a finite max_lr, got max_lr=inf, look at what computed"),
    ({"max_lr": np.float32("-inf")}, "a finite max_lr, got max_lr=-inf, look at"),
    ({"max_lr": 10**400}, "a finite max_lr, got max_lr=1000.*, look at what computed"),
    ({"base_lr": -0.1}, "base_lr >= 0, got base_lr=-0.1, leave the sign to the optimi"),
    (
        {"base_lr": 0.5},
        "base_lr <= max_lr, got base_lr=0.5, max_lr=0.2, swap them; momentum_schedule "
        "starts high and dips",
    ),
    ({"step_size": 0}, f"{HALF}step_size=0, multiply epochs by the steps in an epoch"),
    ({"step_size": 4.5}, f"{HALF}step_size=4.5, .* and round"),
    ({"step_size": Fraction(9, 2)}, rf"{HALF}step_size=Fraction\(9, 2\), .* and round"),
    ({"step_size": math.inf}, "a finite step_size, got step_size=inf, look at what"),
    ({"step_size": 2**31}, f"{HALF}step_size=2147483648, "),
    ({"step_size_down": 2.5}, f"a whole step_size_down {FROM_1} .*=2.5, .* and round"),
    ({"cycle_mult": 0}, rf"{MULT}0\.0, each cycle is so many times as long as the one"),
    ({"cycle_mult": 1.5}, rf"{MULT}1\.5, each cycle is so many times as long as"),
    ({"cycle_mult": 2**31}, rf"{MULT}2147483648\.0, each cycle"),
    (
        {"mode": "triangluar"},
        "mode 'triangular' or 'triangular2' or 'exp_range', got mode='triangluar', "
        "did you mean 'triangular'?",
    ),
    (
        {"scale_fn": abs, "scale_mode": "iteration"},
        "scale_mode 'cycle' or 'iterations', got scale_mode='iteration', did you mean "
        "'iterations'?",
    ),
    (
        {"scale_mode": "iterations"},
        "scale_fn with scale_mode='iterations', got scale_mode='iterations', "
        "mode='triangular', modes choose by themselves",
    ),
    (
        {"mode": "exp_range", "gamma": 1.01},
        "0 < gamma <= 1, got gamma=1.01, the amplitude is multiplied by it at every st",
    ),
    ({"mode": "exp_range", "gamma": 0}, "0 < gamma <= 1, got gamma=0.0, the amplit"),
    ({"mode": "exp_range", "gamma": -1}, "0 < gamma <= 1, got gamma=-1.0, the ampl"),
    ({"mode": "exp_range", "gamma": math.nan}, "a finite gamma, got gamma=nan, look"),
    (
        {"gamma": 0.9},
        "mode='exp_range' with gamma, got gamma=0.9, mode='triangular', no other mode",
    ),
    ({"gamma": jnp.ones(1)}, "mode='exp_range' with gamma, got gamma=Array"),
    (
        {"anneal": "cosin"},
        "anneal 'linear' or 'cosine', got anneal='cosin', did you mean 'cosine'?",
    ),
    (
        {"scale_fn": abs, "mode": "triangular2"},
        "only one of mode and scale_fn, got mode='triangular2', "
        "scale_fn=<built-in function abs>, leave one out",
    ),
    ({"scale_fn": "triangular2"}, f"{NAME}'triangular2', .*a mode's name goes to"),
    ({"scale_fn": "math:nothing"}, f"{NAME}'math:nothing', .* has no attribute 'noth"),
    ({"scale_fn": "a b:f"}, f"{NAME}'a b:f', invalid format"),
]


WRONG = [(TypeError, *row) for row in WRONG_KINDS]
WRONG += [(ValueError, *row) for row in WRONG_VALUES]


@pytest.mark.parametrize(("error", "bad", "message"), WRONG, ids=str)
def test_what_is_wrong_is_named(error, bad, message):
    with pytest.raises(error, match=f"^clr_schedule needs {message}"):
        clr_schedule(**GOOD | bad)
    wrong = {
        name.replace("_lr", "_momentum"): value for name, value in (GOOD | bad).items()
    }
    message = message.replace("_lr", "_momentum")
    with pytest.raises(error, match=f"^momentum_schedule needs {message}"):
        momentum_schedule(**wrong)


def test_momentum_of_one_is_refused():
    message = "max_momentum < 1, got max_momentum=1.0, at 1 no gradient is ever forgot"
    with pytest.raises(ValueError, match=f"^momentum_schedule needs {message}"):
        momentum_schedule(0.5, 1.0, 4)


KINDS = [np.float32, np.float64, np.asarray, jnp.float32, jnp.asarray, jnp.bfloat16]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("x64", [False, True])
def test_numbers_of_any_kind_are_checked(kind, x64):
    with jax.debug_nans(False):
        nan = kind(math.nan)
    wrong = {
        "a finite base_lr": {"base_lr": nan},
        "a finite max_lr": {"max_lr": kind(math.inf)},
        "base_lr >= 0": {"base_lr": kind(-1.0)},
        "base_lr <= max_lr": {"base_lr": kind(0.75), "max_lr": kind(0.5)},
        "a whole step_size ": {"step_size": kind(4.5)},
        "a whole step_size_down ": {"step_size_down": kind(-8.0)},
        "0 < gamma <= 1": {"mode": "exp_range", "gamma": kind(1.5)},
    }
    with jax.enable_x64(x64):
        for rule, bad in wrong.items():
            with pytest.raises(ValueError, match=f"^clr_schedule needs {rule}"):
                clr_schedule(**GOOD | bad)
        with pytest.raises(ValueError, match=r"^momentum_schedule needs max_.* < 1,"):
            momentum_schedule(0.5, kind(1.0), 4)


def test_what_is_known_inside_jit_is_checked_there():
    @jax.jit
    def rate(top):
        return clr_schedule(0.0, top, np.float32(-4.0))(1)

    with pytest.raises(ValueError, match="clr_schedule needs a whole step_size"):
        rate(1.0)


def test_borders_are_legal():
    assert clr_schedule(0, 0, 1)(1) == 0
    assert clr_schedule(0.5, 0.5, 3)(2) == 0.5
    half = 2**31 - 1
    longest = clr_schedule(0.0, 1.0, half, step_size_down=half)
    assert longest(half) == 1
    assert clr_schedule(0, 3e38, 1)(1) == np.float32(3e38)
    assert momentum_schedule(0, 0, 1)(0) == 0


reals = st.integers() | st.floats() | st.fractions() | st.decimals()
plausible = st.sampled_from([0, 0.001, 0.5, 0.9, 1, 1.0, 4, 100, 2**30, 1e-45, 1e38])
arrays = st.sampled_from([np.array([0.5, 1.0]), jnp.array([2, 3]), np.array(["x"])])
names = st.sampled_from(["triangular", "triangular2", "exp_range", "cycle", "cosine"])
scalars = st.builds(
    lambda kind, x: kind(x),
    st.sampled_from([np.float32, np.asarray, jnp.float32]),
    st.floats(width=16),
)
others = st.sampled_from([None, True, 1j, [], {}, abs, jnp.cos, object(), "os:nope"])
anything = reals | arrays | scalars | names | others | st.text() | st.binary()


NAMES = ["step_size_down", "cycle_mult", "mode", "gamma", "scale_fn", "scale_mode"]
NAMES += ["anneal"]
likely = st.integers(0, 7).flatmap(lambda odds: plausible if odds else anything)


@given(
    st.sampled_from([clr_schedule, momentum_schedule]),
    likely,
    likely,
    likely,
    st.just({})
    | st.dictionaries(
        st.sampled_from(NAMES),
        anything,
    ),
)
@example(clr_schedule, 1e-45, 1e-45, 1, {})
@example(clr_schedule, 0, 3.3e38, 1, {"mode": "exp_range", "gamma": 5e-324})
@example(clr_schedule, 0, 1, 4, {"mode": "exp_range", "gamma": Fraction(1, 10**400)})
def test_anything_works_or_is_refused_in_words(factory, low, high, size, options):
    refusal = schedule = None
    try:
        schedule = factory(low, high, size, **options)
    except (TypeError, ValueError) as error:
        refusal = str(error)
    if schedule is None:
        event("refused")
        assert refusal.startswith(f"{factory.__name__} needs ")
        return
    repr(schedule)
    numbers = (low, high, size, *options.values())
    if "scale_fn" in options or any(getattr(x, "ndim", 0) for x in numbers):
        event("legal, with an array or a function")
        return
    event("legal")
    got, ends = schedule(np.arange(5)), np.array([low, high], np.float32)
    tiny = np.finfo(np.float32).tiny  # below it, XLA may round to 0
    assert (got >= ends[0] - tiny).all()
    assert (got <= ends[1] + tiny).all()

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
NUMBER = r"as a real number or an array, got "
HALF = r"\(steps in half a cycle\), got "

WRONG_KINDS = [
    ({"base_lr": "0.1"}, f"base_lr {NUMBER}base_lr='0.1', leave out the quotes"),
    ({"base_lr": None}, f"base_lr {NUMBER}base_lr=None, give it a number"),
    ({"max_lr": True}, f"max_lr {NUMBER}max_lr=True, write 0 or 1"),
    ({"max_lr": np.bool_(True)}, f"max_lr {NUMBER}max_lr=True, write 0 or 1"),
    ({"max_lr": 1j}, f"max_lr {NUMBER}max_lr=1j, take its real part"),
    ({"base_lr": [0.1]}, rf"base_lr {NUMBER}base_lr=\[0.1\], wrap it in jax.numpy.ar"),
    ({"base_lr": (0.1,)}, rf"base_lr {NUMBER}base_lr=\(0.1,\), wrap it in jax.numpy"),
    ({"base_lr": Decimal(1)}, f"base_lr {NUMBER}base_lr=Decimal.*convert it with flo"),
    ({"base_lr": abs}, f"base_lr {NUMBER}base_lr=<built-in function abs>, convert"),
    ({"step_size": None}, f"step_size {NUMBER}step_size=None, give it a number"),
    ({"step_size": "4"}, f"step_size {NUMBER}step_size='4', leave out the quotes"),
    ({"step_size": [4]}, rf"step_size {NUMBER}step_size=\[4\], wrap it"),
    ({"step_size_down": True}, f"step_size_down {NUMBER}step_size_down=True, write"),
    ({"gamma": "0.9"}, f"gamma {NUMBER}gamma='0.9', leave out the quotes"),
    ({"mode": None}, "mode as text, got mode=None, such as 'triangular'"),
    ({"mode": ["triangular"]}, r"mode as text, got mode=\['triangular'\], such as"),
    ({"scale_mode": 1}, "scale_mode as text, got scale_mode=1, such as 'cycle'"),
    ({"anneal": True}, "anneal as text, got anneal=True, such as 'linear'"),
    ({"scale_fn": 0.5}, "scale_fn as a function, got scale_fn=0.5, such as lambda cyc"),
    (
        {"max_lr": np.array(["0.2"])},
        "max_lr as real numbers, not <U3, got max_lr=array.*convert it with astype",
    ),
    (
        {"max_lr": jnp.array([1j])},
        "max_lr as real numbers, not complex64, got max_lr=Array.*convert it with ast",
    ),
    (
        {"step_size": np.array([True])},
        "step_size as real numbers, not bool, got step_size=array.*convert it with as",
    ),
]

WRONG_VALUES = [
    ({"base_lr": math.nan}, "a finite base_lr, got base_lr=nan, look at what comput"),
    ({"max_lr": math.inf}, "a finite max_lr, got max_lr=inf, look at what computed"),
    ({"max_lr": np.float32("-inf")}, "a finite max_lr, got max_lr=-inf, look at"),
    ({"base_lr": -0.1}, "base_lr >= 0, got base_lr=-0.1, optimizers turn the sign"),
    ({"max_lr": 10**400}, r"max_lr < 3.4e\+38, got max_lr=10.*, float32 ends there"),
    (
        {"base_lr": 0.5},
        "base_lr <= max_lr, got base_lr=0.5, max_lr=0.2, swap them; what starts high "
        "and dips is a momentum_schedule",
    ),
    ({"step_size": 0}, f"step_size >= 1 {HALF}step_size=0, multiply epochs by the st"),
    ({"step_size": -4}, f"step_size >= 1 {HALF}step_size=-4, multiply"),
    ({"step_size": 0.5}, f"step_size >= 1 {HALF}step_size=0.5, multiply"),
    ({"step_size": 4.5}, f"a whole step_size {HALF}step_size=4.5, round it"),
    ({"step_size": Fraction(9, 2)}, f"a whole step_size {HALF}step_size=Frac.*round"),
    ({"step_size": math.nan}, "a finite step_size, got step_size=nan, look at what"),
    ({"step_size": math.inf}, "a finite step_size, got step_size=inf, look at what"),
    ({"step_size_down": 0}, f"step_size_down >= 1 {HALF}step_size_down=0, multiply"),
    ({"step_size_down": 2.5}, f"a whole step_size_down {HALF}step_size_down=2.5, rou"),
    (
        {"step_size": 2**30},
        r"step_size \+ step_size_down < 2\*\*31 \(steps in a cycle\), got "
        "step_size=1073741824, step_size_down=1073741824, Optax counts in int32",
    ),
    ({"step_size_down": 2**31}, r"step_size \+ .*step_size_down=2147483648, Optax"),
    (
        {"mode": "triangluar"},
        "mode 'triangular' or 'triangular2' or 'exp_range', got mode='triangluar', "
        "did you mean 'triangular'?",
    ),
    ({"mode": "cosine"}, "mode 'triangular' or .*, got mode='cosine', see help"),
    ({"mode": "exp-range"}, "mode .* got mode='exp-range', did you mean 'exp_range'?"),
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
        "0 < gamma <= 1, got gamma=1.01, the amplitude, times gamma at every step, "
        "would grow without bound",
    ),
    (
        {"mode": "exp_range", "gamma": 0},
        "0 < gamma <= 1, got gamma=0.0, the amplitude.* would vanish or change its si",
    ),
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
    (
        {"scale_fn": "triangular2"},
        "scale_fn as a function or as 'module:name', got scale_fn='triangular2', the "
        "names of the modes go to mode",
    ),
    (
        {"scale_fn": "math:nothing"},
        "scale_fn that can be imported, got scale_fn='math:nothing', module 'math' "
        "has no attribute 'nothing'",
    ),
    ({"scale_fn": "no_module:f"}, "scale_fn that can be imported.*No module named"),
    ({"scale_fn": "a b:f"}, "scale_fn that can be imported.*invalid format"),
    ({"scale_fn": "math:pi"}, "scale_fn as a function, got scale_fn=3.14"),
]


def momentum_names(text):
    text = text.replace("_lr", "_momentum").replace("; what starts high and dips", "")
    return text.replace(" is a momentum_schedule", "").replace(r"3.4e\+38", "1")


@pytest.mark.parametrize(("bad", "message"), WRONG_KINDS, ids=str)
def test_wrong_kinds_are_type_errors(bad, message):
    with pytest.raises(TypeError, match=f"^clr_schedule needs {message}"):
        clr_schedule(**GOOD | bad)
    good, bad = (
        {momentum_names(name): value for name, value in x.items()} for x in (GOOD, bad)
    )
    message = momentum_names(message)
    with pytest.raises(TypeError, match=f"^momentum_schedule needs {message}"):
        momentum_schedule(**good | bad)


@pytest.mark.parametrize(("bad", "message"), WRONG_VALUES, ids=str)
def test_wrong_values_are_value_errors(bad, message):
    kind = TypeError if "as a function, got" in message else ValueError
    with pytest.raises(kind, match=f"^clr_schedule needs {message}"):
        clr_schedule(**GOOD | bad)
    good, bad = (
        {momentum_names(name): value for name, value in x.items()} for x in (GOOD, bad)
    )
    message = momentum_names(message).replace("float32 ends there", "at 1 no gradient")
    message = message.replace("optimizers turn the sign", "0 is none")
    with pytest.raises(kind, match=f"^momentum_schedule needs {message}"):
        momentum_schedule(**good | bad)


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
        "step_size >= 1": {"step_size": kind(0.0)},
        "a whole step_size": {"step_size": kind(4.5)},
        "step_size_down >= 1": {"step_size_down": kind(-8.0)},
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

    with pytest.raises(ValueError, match="clr_schedule needs step_size >= 1"):
        rate(1.0)


def test_unknown_arguments_are_type_errors():
    with pytest.raises(TypeError, match="unexpected keyword argument 'stepsize'"):
        clr_schedule(0.1, 0.2, stepsize=4)
    with pytest.raises(TypeError, match=r"missing 1 required positional .*'step_size'"):
        clr_schedule(0.1, 0.2)


def test_borders_are_legal():
    assert clr_schedule(0, 0, 1)(1) == 0
    assert clr_schedule(0.5, 0.5, 3)(2) == 0.5
    half = 2**30 - 1
    longest = clr_schedule(0.0, 1.0, half, step_size_down=half + 1)
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


likely = st.integers(0, 7).flatmap(lambda odds: plausible if odds else anything)


@given(
    st.sampled_from([clr_schedule, momentum_schedule]),
    likely,
    likely,
    likely,
    st.just({})
    | st.dictionaries(
        st.sampled_from(
            ["step_size_down", "mode", "gamma", "scale_fn", "scale_mode", "anneal"]
        ),
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

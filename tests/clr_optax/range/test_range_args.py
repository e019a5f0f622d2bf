"""What a range test refuses, and how it says so."""

import jax
import numpy as np
import optax
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from range_problems import quadratic

from clr_core import suggest_bounds
from clr_optax import lr_range_test

KEY = jax.random.key(0)


class Unhashable:
    __hash__ = None

    def __call__(self, *args):
        return quadratic(*args)


def call(**changes):
    arguments = {
        "loss_fn": quadratic,
        "params": np.ones(2, np.float32),
        "batches": (np.ones((1, 2), np.float32), np.zeros((1, 2), np.float32)),
        "num_steps": 10,
    }
    return lr_range_test(**(arguments | changes))


@pytest.mark.parametrize(
    ("changes", "error", "match"),
    [
        (
            {"loss_fn": None},
            TypeError,
            "loss_fn to be a function .*got loss_fn of type N",
        ),
        ({"loss_fn": Unhashable()}, TypeError, "hashable, .*wrap it: lambda"),
        ({"optimizer": optax.sgd(0.1)}, TypeError, r"optax.sgd and not optax.sgd.0.1."),
        ({"optimizer": "sgd"}, TypeError, "optax.sgd and not .*got .*type str"),
        ({"optimizer": type}, TypeError, "to return an optax.*got type"),
        ({"optimizer": lambda lr: 3}, TypeError, "to return an optax.*got int"),
        (
            {"key": 5},
            TypeError,
            r"a random key, got key=5, make one by jax.random.key",
        ),
        (
            {"key": jax.random.split(KEY, (2, 2))},
            TypeError,
            r"a random key, got key<fry> of shape \(2, 2\), make one by",
        ),
        ({"min_lr": "1e-3"}, TypeError, "one real number, got min_lr='1e-3'"),
        ({"min_lr": True}, TypeError, "one real number, got min_lr=True"),
        ({"max_lr": 1j}, TypeError, "one real number, got max_lr=1j"),
        ({"max_lr": np.ones(2)}, TypeError, "one real number, got max_lr=array"),
        ({"min_lr": 0}, ValueError, "finite rate of 1e-30 or more, got min_lr=0"),
        ({"min_lr": -0.1}, ValueError, "got min_lr=-0.1"),
        ({"max_lr": np.nan}, ValueError, "got max_lr=nan"),
        ({"max_lr": np.inf}, ValueError, "got max_lr=inf"),
        ({"max_lr": 1e300}, ValueError, r"got max_lr=1e\+300"),
        ({"min_lr": 1, "max_lr": 0.1}, ValueError, "max_lr above min_lr .*max_lr=0.1"),
        (
            {"min_lr": 1, "max_lr": 1.0000001},
            ValueError,
            "by num_steps different float32",
        ),
        (  # the second is another yet
            {"min_lr": 1, "max_lr": 1 + 100 * 2**-23, "num_steps": 110},
            ValueError,
            "by num_steps different float32",
        ),
        ({"num_steps": 1}, ValueError, "num_steps from 2 to 1000000, got num_steps=1"),
        ({"num_steps": 10**12}, ValueError, "got num_steps=1000000000000"),
        ({"num_steps": 10.0}, TypeError, "num_steps as an int, got num_steps=10.0"),
        (
            {"spacing": "linaer"},
            ValueError,
            "got spacing='linaer', did you mean 'linear'",
        ),
        ({"spacing": None}, TypeError, "spacing as text, .*spacing=None"),
        ({"params": {}}, ValueError, "needs an array in params, got none"),
        (
            {"params": "w"},
            TypeError,
            "params to be a pytree of .* but 'w' is a str",
        ),
        (
            {"params": np.ones(2, int)},
            TypeError,
            "floating params, got int32 at params",
        ),
        (
            {"params": np.ones(2, np.complex64)},
            TypeError,
            "got complex64 at params, .* both parts of what is complex",
        ),
        ({"state": "L"}, TypeError, "state to be a pytree of arrays, but 'L' is a str"),
        ({"accumulate": 0}, ValueError, "accumulate from 1 to .*got accumulate=0"),
        ({"accumulate": 2.0}, TypeError, "accumulate as an int, got accumulate=2.0"),
        (
            {"num_steps": 10**6, "accumulate": 10**4},
            ValueError,
            "accumulate from 1 to 2147, got accumulate=10000",
        ),
        (
            {"key": jax.numpy.zeros(5, "uint32")},
            TypeError,
            "got uint32 of shape .5,.",
        ),
        (
            {"stop_factor": "4"},
            TypeError,
            "stop_factor to be one real number",
        ),
        ({"stop_factor": True}, TypeError, "got stop_factor=True"),
        ({"stop_factor": 1}, ValueError, "stop_factor above 1, .*got stop_factor=1"),
        (
            {"stop_factor": np.nan},
            ValueError,
            "finite stop_factor above 1, .*None",
        ),
        ({"batches": 3.0}, ValueError, r"one leading axis, .*got shapes \[\(\)\]"),
        ({"batches": np.ones((0, 2))}, ValueError, "one or more batches, got shapes"),
        ({"batches": (np.ones(2), np.ones(3))}, ValueError, r"\[\(2,\), \(3,\)\]"),
    ],
)
def test_errors_say_what_is_needed(changes, error, match):
    with pytest.raises(error, match=match):
        call(**changes)


@pytest.mark.parametrize(
    ("loss", "match"),
    [
        (
            lambda loss: 0.5,
            "of jax.numpy as loss, got float, such as the mean",
        ),
        (lambda loss: np.float32(1), "number of jax.numpy .*got float32, "),
        (lambda loss: None, "got NoneType"),
        (
            lambda loss: loss[None],
            r"got float32\[1\], such as the mean of a smooth loss over the batch",
        ),
        (
            lambda loss: loss.astype(int),
            r"real number .*, got int32\[\], such as",
        ),
        (lambda loss: loss + 1j, r"one real number .*, got complex64\[\]"),
        (
            lambda loss: (loss, 1),
            r"got \(float32\[\], int\), pass has_aux=True .*, state= for",
        ),
    ],
)
def test_losses_that_are_none_are_told(loss, match):
    with pytest.raises(TypeError, match=f"loss_fn to return .*{match}"):
        call(loss_fn=lambda params, batch: loss(quadratic(params, batch)))


def test_an_aux_that_is_missing_is_told():
    with pytest.raises(TypeError, match=r"return \(loss, aux\), got float32\[\]"):
        call(has_aux=True)
    with pytest.raises(TypeError, match=r"\(loss, \(state, aux\)\), got float32\[\]"):
        call(has_aux=True, state=1, loss_fn=lambda params, state, batch: params.sum())


SOME = st.text() | st.booleans() | st.binary() | st.lists(st.integers())
JUNK = st.none() | SOME
NUMBERS = st.floats() | st.integers() | st.complex_numbers()
BATCHES = st.integers(max_value=3) | st.integers(2**31) | st.sampled_from([2.5, np.nan])
PLAIN = {
    "min_lr": st.floats(1e-12, 0.1),
    "max_lr": st.floats(0.1, 1e12),
    "num_steps": st.sampled_from([2, 10, 30]),
    "spacing": st.sampled_from(["linear", "exponential"]),
    "optimizer": st.sampled_from([optax.sgd, optax.adam]),
    "params": st.tuples(st.floats(width=32), st.floats(width=32)).map(np.float32),
}
ODD = {
    "min_lr": NUMBERS | JUNK,
    "max_lr": NUMBERS | JUNK,
    "num_steps": st.sampled_from([0, -3, 10**30, 2.5, np.nan]) | JUNK,
    "spacing": JUNK,
    "optimizer": st.just(optax.sgd(1.0)) | JUNK,
    "params": JUNK,
    "batches": SOME | st.floats(),
    "loss_fn": JUNK,
    "has_aux": JUNK,
    "state": st.text() | st.binary(),
    "accumulate": BATCHES | JUNK,
    "stop_factor": st.floats(max_value=1) | st.complex_numbers() | SOME,
    "key": JUNK | st.integers(),
}


@settings(deadline=None, max_examples=150)
@given(
    changes=st.builds(
        lambda plain, odd: plain | odd,
        st.fixed_dictionaries({}, optional=PLAIN),
        st.just({})
        | st.sampled_from(sorted(ODD)).flatmap(
            lambda name: st.fixed_dictionaries({name: ODD[name]})
        ),
    )
)
@example({"batches": "\x0c"})
@example({"batches": 3.5e38})
@example({"has_aux": True})
def test_any_argument_gives_a_curve_or_a_documented_error(changes):
    refusal = None
    try:
        test = call(**changes)
        bounds = suggest_bounds(test.lrs, test.losses)
    except (TypeError, ValueError) as error:
        refusal = str(error)
    else:
        count = int(test.num_finite)
        assert np.isfinite(test.lrs).all()
        assert (np.diff(test.lrs) > 0).all()
        assert np.isfinite(test.losses[:count]).all()
        assert np.isnan(test.losses[count:]).all()
        assert 0 < bounds[0] < bounds[1]
    assert refusal is None or " needs " in refusal


@pytest.mark.parametrize(
    ("more", "called"),
    [
        ({"state": {"seen": 0}}, "params, state, batch"),
        ({"key": jax.random.key(0)}, "params, batch, key"),
    ],
)
def test_a_loss_that_takes_other_arguments_is_told_what_it_was_given(more, called):
    with pytest.raises(TypeError) as caught:
        call(**more)
    assert f"lr_range_test called loss_fn({called})" in caught.value.__notes__

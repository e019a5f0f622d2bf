"""A loss that raises ends a test as a divergence does: what was measured is kept."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from clr_optax import RangeTest, lr_range_test, lr_sweep
from clr_optax._range import loop
from clr_optax._range.raised import _text

CURVATURES = jnp.array([1.0, 0.1, 0.01])
STACKED = jnp.linspace(0, 0.01, 27).reshape(3, 3, 3)
GIVEN = {"stacked": STACKED, "streamed": list(STACKED)}
LIMITS = {"min_lr": 1e-3, "max_lr": 1e3}


@pytest.fixture(params=GIVEN)
def batches(request):
    return GIVEN[request.param]


def smooth(params, batch):
    """Diverges above a rate of 1."""
    return 1 + jnp.mean((params - batch) ** 2 @ CURVATURES)


def raising(error, kind):
    """The loss with a check on the host, which raises where it is above 8."""

    def check(loss):
        if (loss > 8).any():
            raise kind(error)
        return loss

    def loss_fn(params, batch):
        loss = smooth(params, batch)
        given = jax.lax.stop_gradient(loss)
        seen = jax.pure_callback(check, loss, given, vmap_method="broadcast_all")
        return loss + 0 * seen

    return loss_fn


def at_step(k):
    """The loss, with a state that counts, which raises at batch k."""

    def check(count):
        if count == k:
            raise ValueError("at this step")
        return count

    def loss_fn(params, count, batch):
        return smooth(params, batch), jax.pure_callback(check, count, count) + 1

    return loss_fn


def noted(raised):
    return "".join(raised.value.__notes__)


def check_kept(test, kind):
    whole = lr_range_test(smooth, jnp.ones(3), STACKED, stop_factor=None, **LIMITS)
    (place,) = np.flatnonzero(np.asarray(test.lrs) == np.float32(test.raised.lr))
    assert place == (np.asarray(whole.losses) > 8).argmax() == test.num_finite
    np.testing.assert_allclose(test.losses[:place], whole.losses[:place], rtol=1e-6)
    assert np.isnan(test.losses[place:]).all()
    assert test.raised.text == f"{kind}: diverged here"
    said = f"loss_fn raised at a rate of {test.raised.lr:.3g}: {test.raised.text}"
    assert test.reservations()[0] == said
    assert said in repr(test)
    assert test.bounds() == RangeTest(test.lrs[:place], test.losses[:place]).bounds()


def test_what_was_measured_comes_back(batches):
    loss_fn = raising("diverged here\nand so on", ArithmeticError)
    for _ in range(2):  # the second time it is compiled
        test = lr_range_test(loss_fn, jnp.ones(3), batches, stop_factor=None, **LIMITS)
        check_kept(test, "ArithmeticError")


def test_an_error_of_equinox_is_such_an_error(batches):
    eqx = pytest.importorskip("equinox")

    def loss_fn(params, batch):
        loss = smooth(params, batch)
        return eqx.error_if(loss, loss > 8, "diverged here")

    test = lr_range_test(loss_fn, jnp.ones(3), batches, stop_factor=None, **LIMITS)
    check_kept(test, "EquinoxRuntimeError")


@pytest.mark.filterwarnings("ignore:.*log")
def test_what_jax_raises_for_a_nan_is_such_an_error(batches):
    def loss_fn(params, batch):
        return smooth(params, batch) - jnp.log(8 - smooth(params, batch))

    with jax.debug_nans(True):
        test = lr_range_test(loss_fn, jnp.ones(3), batches, **LIMITS)
    assert test.raised.text.startswith("FloatingPointError: invalid value (nan)")
    assert test.num_finite > 50


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("step", [0, 1, 9])
def test_where_too_little_was_measured_the_error_comes_through(
    batches, accumulate, step
):
    loss_fn = at_step(accumulate * step)
    with pytest.raises(Exception, match="at this step") as raised:
        lr_range_test(
            loss_fn, jnp.ones(3), batches, state=0, accumulate=accumulate, **LIMITS
        )
    lr = 1e-3 * 1e6 ** (step / 99)
    assert f"raised this at step {step}, at a rate of {lr:.3g}" in noted(raised)


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize(
    "step", [10, 99, *(pytest.param(k, marks=pytest.mark.slow) for k in (11, 37))]
)
def test_the_step_that_raised_is_found(batches, accumulate, step):
    loss_fn = at_step(accumulate * (step + 1) - 1)  # the last of its batches
    test = lr_range_test(
        loss_fn,
        jnp.ones(3),
        batches,
        state=0,
        max_lr=0.1,
        accumulate=accumulate,
    )
    assert test.num_finite == step
    assert test.raised.lr == test.lrs[step]


def test_what_raises_after_the_stop_is_not_told(batches):
    def check(params):
        if np.isnan(params).any():
            raise ValueError("after the stop")
        return params

    def loss_fn(params, batch):
        loss = smooth(params, batch)
        seen = jax.pure_callback(check, params, jax.lax.stop_gradient(params))
        return loss * jnp.where(loss > 8, jnp.nan, 1) + 0 * seen.sum()

    test = lr_range_test(loss_fn, jnp.ones(3), batches, stop_factor=None, **LIMITS)
    assert 50 < test.num_finite < 100
    assert test.raised is None


def test_of_several_curves_each_ends_by_itself(batches):
    tests = several_seeds(batches)
    whole, other = tests.num_finite[0], tests.num_finite[2]
    assert 50 < other < whole == tests.num_finite[1]
    assert [raised is None for raised in tests.raised] == [True, True, False]
    assert tests.reservations()[0] == f"{tests.raised[2]} (1 of 3)"
    assert jax.tree.leaves(tests.raised) == []


def test_after_one_has_raised_the_others_see_batches_of_another_shape():
    rows = [row for batch in STACKED for row in batch]
    alike = [jnp.stack(rows[:3])] * 95
    unlike = alike + [jnp.stack(rows[:2])] * 5
    tests, expected = several_seeds(unlike), several_seeds(alike)
    assert tests.num_finite[2] == expected.num_finite[2] < 95
    assert tests.raised == expected.raised
    np.testing.assert_array_equal(tests.losses[:, :95], expected.losses[:, :95])


def test_of_several_in_one_program_all_end_with_the_first(batches, monkeypatch):
    alone = several_seeds(batches)
    monkeypatch.setattr(loop.jax, "default_backend", lambda: "gpu")
    tests = several_seeds(batches)
    assert tests.num_finite.tolist() == [alone.num_finite[2]] * 3
    assert set(tests.raised) == {alone.raised[2]}
    assert tests.reservations()[0] == f"{alone.raised[2]} (3 of 3)"


def several_seeds(batches):
    """Three curves; the loss raises in the third, where it is above 8."""
    keys = jax.random.split(jax.random.key(0), 3)

    def start(key):
        last = (jax.random.key_data(key) == jax.random.key_data(keys[2])).all()
        return {"params": jnp.ones(3), "most": jnp.where(last, 8.0, jnp.inf)}

    def check(loss, most):
        if (loss > most).any():
            raise ValueError("in the third")
        return loss

    def loss_fn(params, batch, key):
        loss = smooth(params["params"], batch)
        given = jax.lax.stop_gradient((loss, params["most"]))
        seen = jax.pure_callback(check, loss, *given, vmap_method="broadcast_all")
        return loss + 0 * seen

    return lr_range_test(loss_fn, start, batches, key=keys, stop_factor=None, **LIMITS)


@pytest.mark.parametrize(("letters", "cut"), [(88, False), (89, True)])
def test_a_hundred_characters_are_shown_of_an_error(letters, cut):
    shown = _text(ValueError("x" * letters))
    assert len(shown) == 100
    assert shown.endswith("...") is cut


def test_errors_of_the_loader_come_through():
    def loader():
        yield from list(STACKED) * 20
        raise OSError("the disk")

    with pytest.raises(OSError, match="the disk"):
        lr_range_test(smooth, jnp.ones(3), loader(), **LIMITS | {"max_lr": 0.1})


def test_what_is_raised_while_a_loss_is_traced_comes_through():
    def loss_fn(params, batch):
        return smooth(params, batch)

    wrong = [*list(STACKED) * 10, jnp.zeros(2)]
    with pytest.raises(TypeError, match="incompatible shapes"):
        lr_range_test(loss_fn, jnp.ones(3), iter(wrong), **LIMITS)


def test_an_interruption_comes_through(batches):
    with pytest.raises(Exception, match="KeyboardInterrupt") as raised:
        lr_range_test(raising("", KeyboardInterrupt), jnp.ones(3), batches, **LIMITS)
    assert not hasattr(raised.value, "__notes__")

    def loader():
        yield from list(STACKED) * 20
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        lr_range_test(smooth, jnp.ones(3), loader(), **LIMITS | {"max_lr": 0.1})


@pytest.mark.parametrize("held_out", [None, STACKED[0]], ids=["last", "held out"])
@pytest.mark.parametrize("backend", ["cpu", "gpu"])
def test_a_cycle_that_raises_is_a_point_at_infinity(
    batches, held_out, backend, monkeypatch
):
    options = {"test": at_peak(0.8), "num_steps": 20, "held_out": held_out}
    whole = lr_sweep(smooth, jnp.ones(3), batches, **options)
    monkeypatch.setattr(loop.jax, "default_backend", lambda: backend)
    loss_fn = raising("diverged here", ArithmeticError)
    found = lr_sweep(loss_fn, jnp.ones(3), batches, **options)
    np.testing.assert_array_equal(found.peaks, whole.peaks)
    high = found.losses == np.inf
    assert high.tolist() == [False] * 4 + [True]
    np.testing.assert_allclose(found.losses[~high], whole.losses[~high], rtol=1e-6)
    assert whole.raised is None
    assert found.peaks[-1] / 10 < found.raised.lr <= found.peaks[-1]
    assert found.reservations() == (str(found.raised),)
    assert "ArithmeticError: diverged here" in str(found.raised)


def test_what_raises_on_the_batches_held_out_is_a_point_at_infinity(batches):
    def check(params, batch):
        if batch.max() > 2 and params[0] < 0.3:
            raise ArithmeticError("held out")
        return params

    def loss_fn(params, batch):
        given = jax.lax.stop_gradient(params), batch
        seen = jax.pure_callback(check, params, *given)
        return smooth(params, batch) + 0 * seen.sum()

    found = lr_sweep(
        loss_fn,
        jnp.ones(3),
        batches,
        held_out=jnp.full((1, 3), 3.0),
        test=at_peak(0.4),
        num_steps=20,
    )
    (bad,) = np.nonzero(found.losses == np.inf)
    assert bad[0] > 0
    assert found.raised.lr == pytest.approx(found.peaks[bad[0]])
    assert found.raised.text == "ArithmeticError: held out"


def test_a_sweep_in_which_all_raise_raises(batches):
    test = at_peak(0.4)
    with pytest.raises(Exception, match="at this step") as raised:
        lr_sweep(at_step(3), jnp.ones(3), batches, state=0, test=test, num_steps=20)
    assert "lr_sweep: loss_fn raised this at step 3, at a rate of 0.0" in noted(raised)


def at_peak(max_lr):
    """A range test whose max_lr is about that."""
    lrs = np.geomspace(1e-6, 10, 100)
    fall = 1 / (1 + (lrs / (max_lr / 2)) ** 4) + 0.01
    return RangeTest(lrs, np.where(max_lr * 40 < lrs, 1e3, fall))

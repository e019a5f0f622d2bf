"""The sweep: its cycles are trainings, its grid finds the best peak, its refusals."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from range_problems import problem, regression

from clr_optax import RangeTest, Sweep, clr_schedule, lr_range_test, lr_sweep
from clr_optax._range import loop

PARAMS, STACKED = problem()
BATCHES = [jax.tree.map(lambda a, i=i: a[i], STACKED) for i in range(3)]
HELD_OUT = jax.tree.map(lambda a: a[0] + 0.1, STACKED)
LRS = np.geomspace(1e-6, 10, 100)


def noisy(params, batch, key):
    return regression(params, batch) + 0.1 * jax.random.uniform(key)


def reading(max_lr):
    """A range test whose max_lr is about that."""
    fall = 1 / (1 + (LRS / (max_lr / 2)) ** 4) + 0.01
    test = RangeTest(LRS, np.where(max_lr * 40 < LRS, 1e3, fall))
    assert test.bounds()[1] == pytest.approx(max_lr, rel=0.6)
    return test


sweep = functools.partial(lr_sweep, regression, PARAMS, num_steps=30)


def trained(peak, num_steps=30, accumulate=1, optimizer=optax.sgd):
    """The params after a cycle, and the losses in it, by Optax alone."""
    schedule = clr_schedule(peak / 10, peak, num_steps // 2)
    transformation = optimizer(schedule)
    params, state, losses = PARAMS, transformation.init(PARAMS), []
    for i in range(num_steps):
        batches = [BATCHES[(i * accumulate + k) % 3] for k in range(accumulate)]
        both = [jax.value_and_grad(regression)(params, batch) for batch in batches]
        losses.append(np.mean([loss for loss, _ in both]))
        grads = jax.tree.map(lambda *g: sum(g) / accumulate, *(g for _, g in both))
        updates, state = transformation.update(grads, state, params)
        params = optax.apply_updates(params, updates)
    return params, losses


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("optimizer", [optax.sgd, optax.adam])
def test_each_point_is_a_training(optimizer, accumulate):
    found = sweep(
        BATCHES, test=reading(0.02), optimizer=optimizer, accumulate=accumulate
    )
    scored = sweep(
        BATCHES,
        test=reading(0.02),
        optimizer=optimizer,
        accumulate=accumulate,
        held_out=HELD_OUT,
    )
    for peak, last, held_out in zip(
        found.peaks[:5].tolist(), found.losses, scored.losses, strict=False
    ):
        params, losses = trained(peak, 30, accumulate, optimizer)
        np.testing.assert_allclose(last, np.mean(losses[-3:]), rtol=2e-5)
        np.testing.assert_allclose(held_out, regression(params, HELD_OUT), rtol=2e-5)
    np.testing.assert_allclose(scored.start, regression(PARAMS, HELD_OUT), rtol=1e-6)


@pytest.mark.parametrize(
    ("form", "given"), [(tuple, "stacked"), (tuple, "list"), (list, "list")]
)
def test_a_batch_held_out_may_be_a_list_where_those_of_training_are(form, given):
    """As those of a loader of PyTorch are; two of one shape are not two batches."""

    def loss_fn(params, batch):
        return jnp.mean((batch[0] * params["w"] - batch[1]) ** 2)

    batch = form([np.linspace(0, 1, 8), np.linspace(0, 2, 8)])
    batches = [batch] if given == "list" else form([a[None] for a in batch])
    start = {"w": jnp.zeros(())}, batches
    short = {"num_steps": 20, "test": reading(0.02)}
    found = lr_sweep(loss_fn, *start, held_out=batch, **short)
    several = lr_sweep(loss_fn, *start, held_out=[batch, batch], **short)
    np.testing.assert_allclose(found.start, loss_fn(start[0], batch), rtol=1e-6)
    np.testing.assert_allclose(several.losses, found.losses, rtol=1e-6)


def test_several_batches_held_out_count_by_their_mean():
    test = reading(0.02)
    both = [sweep(BATCHES, test=test, held_out=batch).losses[:5] for batch in BATCHES]
    mean = sweep(BATCHES, test=test, held_out=BATCHES).losses[:5]
    np.testing.assert_allclose(mean, np.mean(both, axis=0), rtol=1e-6)


def test_the_peaks_are_five_around_max_lr():
    test = reading(0.02)
    found = sweep(BATCHES, test=test)
    np.testing.assert_allclose(
        found.peaks[np.arange(5) + (found.peaks[0] < 0.9 * test.bounds()[1] / 4)],
        test.bounds()[1] * np.array([0.25, 0.5, 1, 2, 4]),
        rtol=1e-6,
    )
    assert found.steps == 30 * found.peaks.size
    assert found.peaks.size in (5, 6, 7)


@pytest.mark.parametrize(("max_lr", "end"), [(1e-4, -1), (6.0, 0)])
def test_the_grid_goes_on_where_the_best_is_at_its_edge(max_lr, end):
    found = sweep(BATCHES, test=reading(max_lr))
    assert found.peaks.size == 7  # and no more
    center = reading(max_lr).bounds()[1]
    assert found.peaks[end] == pytest.approx(center * (16 if end else 1 / 16))
    np.testing.assert_allclose(found.peaks[1:] / found.peaks[:-1], 2, rtol=1e-6)


def test_the_bounds_are_half_the_best_peak_and_a_tenth_of_that():
    found = sweep(BATCHES, test=reading(0.02))
    base_lr, max_lr = found.bounds()
    assert max_lr == pytest.approx(found.peaks[found.losses.argmin()] / 2)
    assert base_lr == pytest.approx(max_lr / 10)
    assert type(base_lr) is type(max_lr) is float


def test_without_a_test_one_is_made_of_the_same_training():
    found = sweep(BATCHES, optimizer=optax.adam)
    test = lr_range_test(regression, PARAMS, BATCHES, optimizer=optax.adam)
    same = sweep(BATCHES, optimizer=optax.adam, test=test)
    np.testing.assert_array_equal(found.losses, same.losses)
    assert found.steps == same.steps + 100


def test_where_no_test_can_be_read_a_coarse_grid_tells_where_to_begin():
    unread = RangeTest(LRS, np.ones(100))
    found = sweep(BATCHES, test=unread)
    assert found.peaks.size == 3
    assert found.steps == 3 * 30 + 8 * 15
    coarse = 1e-6 * 8.0 ** np.arange(8)
    assert min(abs(np.log(found.peaks[1] / coarse))) < 1e-5
    assert found.losses.min() < found.start


def test_a_cycle_that_diverges_is_a_point_at_infinity():
    found = lr_sweep(
        lambda params, batch: jnp.sum(params**4),
        jnp.ones(2),
        None,
        test=reading(0.5),
        num_steps=20,
    )
    assert np.isinf(found.losses).any()
    assert np.isfinite(found.losses).any()
    assert np.isfinite(found.bounds()).all()


def test_the_start_is_that_of_the_lowest_cycle_that_does_not_diverge():
    """From 10 this loss diverges above 0.005, in the first steps already above 0.05."""

    def found(held_out=None):
        return lr_sweep(
            lambda params, batch: jnp.sum(params**4),
            jnp.full(1, 10.0),
            None,
            test=reading(0.24),
            held_out=held_out,
        )

    assert np.isinf(found().losses[2:]).all()
    assert 0 < found().start < 1e4
    assert found(jnp.zeros(1)).start == 1e4
    pytest.importorskip("matplotlib")
    low, high = found().plot().get_ylim()
    assert low < found().losses.min() < found().start < high


@pytest.mark.parametrize("form", ["stacked", "list", "generator"])
@pytest.mark.parametrize("at_once", [1, None])
def test_the_forms_of_batches_and_how_many_at_once_change_nothing(form, at_once):
    forms = {"stacked": STACKED, "list": BATCHES, "generator": itertools.cycle(BATCHES)}
    batches = forms[form]
    expected = sweep(BATCHES, test=reading(0.02), held_out=HELD_OUT)
    found = sweep(batches, test=reading(0.02), held_out=HELD_OUT, at_once=at_once)
    np.testing.assert_allclose(found.losses, expected.losses, rtol=1e-5)


def test_a_batch_is_read_once_for_all_peaks_of_a_round():
    read = []

    class Loader:
        def __iter__(self):
            for batch in BATCHES * 10:
                read.append(1)
                yield batch

    found = sweep(Loader(), test=reading(0.02))
    assert len(read) == 30 * (1 + found.peaks.size - 5)


def test_state_key_and_aux_mean_what_they_mean_in_a_range_test():
    def loss_fn(params, state, batch, key):
        return noisy(params, batch, key), (state + 1, state)

    found = lr_sweep(
        loss_fn,
        PARAMS,
        BATCHES,
        state=jnp.zeros((), jnp.int32),
        key=jax.random.key(0),
        has_aux=True,
        test=reading(0.02),
        num_steps=30,
    )
    plain = lr_sweep(
        noisy,
        PARAMS,
        BATCHES,
        key=jax.random.key(0),
        test=reading(0.02),
        num_steps=30,
    )
    np.testing.assert_allclose(found.losses, plain.losses, rtol=1e-6)


def test_params_may_be_a_function_of_the_key():
    init = functools.partial(jax.tree.map, lambda a: a, PARAMS)

    def made(key):
        return init()

    found = lr_sweep(
        noisy,
        made,
        BATCHES,
        key=jax.random.key(0),
        test=reading(0.02),
        num_steps=30,
    )
    plain = lr_sweep(
        noisy, PARAMS, BATCHES, key=jax.random.key(0), test=reading(0.02), num_steps=30
    )
    np.testing.assert_array_equal(found.losses, plain.losses)


def test_all_at_once_is_the_same_on_another_device(monkeypatch):
    by_turns = sweep(BATCHES, test=reading(0.02))
    together = []
    at_once = loop._at_once
    monkeypatch.setattr(loop.jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(
        loop, "_at_once", lambda *a: together.append(len(a[2])) or at_once(*a)
    )
    found = sweep(BATCHES, test=reading(0.02))
    assert together[0] == 5
    np.testing.assert_allclose(found.losses, by_turns.losses, rtol=1e-5)


def test_all_at_once_there_is_one_copy_of_each_run_on_another_device(monkeypatch):
    monkeypatch.setattr(loop.jax, "default_backend", lambda: "gpu")
    starts = [(jnp.full(3, k), jnp.zeros(())) for k in range(2)]

    def step(i, carry, given, batch):
        return carry + 1, i, jnp.zeros((), bool)

    runs = loop.iterate("iterate", step, starts, None, 2)
    assert [run.carry.tolist() for run in runs] == [[2, 2, 2], [3, 3, 3]]
    assert all(carry.is_deleted() for carry, _ in starts)


def test_nothing_that_is_given_is_changed():
    params = jax.tree.map(jnp.copy, PARAMS)
    lr_sweep(regression, params, BATCHES, num_steps=20, test=reading(0.02))
    jax.tree.map(np.testing.assert_array_equal, params, PARAMS)


WRONG = [
    (TypeError, {"test": LRS}, "test to be a RangeTest, got test=array"),
    (ValueError, {"num_steps": 19}, "num_steps from 20 to 1000000, got num_steps=19"),
    (TypeError, {"num_steps": 30.0}, "num_steps as an int, got num_steps=30.0"),
    (ValueError, {"at_once": 0}, "at_once from 1 to 1000000, got at_once=0"),
    (TypeError, {"key": jax.random.split(jax.random.key(0))}, "one random key, got 2"),
    (TypeError, {"held_out": object()}, "held_out to be a pytree of arrays"),
    (ValueError, {"held_out": []}, "held_out as a batch of training, .*, got none"),
    (
        ValueError,
        {"held_out": list(HELD_OUT)},
        r"held_out as .*\(\*, \*\).*, or a list",
    ),
    (TypeError, {"held_out": iter(BATCHES)}, r"held_out as .* list\(itertools.islice"),
    (
        ValueError,
        {"held_out": STACKED},
        r"held_out with as many axes .* \[2, 1\], ",
    ),
    (
        ValueError,
        {"batches": STACKED, "held_out": STACKED},
        r"held_out with .* as a batch of training, \[2, 1\], got shapes \[\(3, 16, 8",
    ),
    (ValueError, {"batches": []}, "batches, got none"),
    (ValueError, {"accumulate": 3 * 10**7}, "accumulate from 1 to 21474836, got"),
    (ValueError, {"test": RangeTest(LRS[1:], LRS)}, "one loss or more and a rate for"),
    (
        ValueError,
        {"test": RangeTest(LRS[::-1], LRS)},
        "finite, strictly increasing lrs",
    ),
    (ValueError, {"test": RangeTest(0 * LRS, LRS)}, "finite, strictly increasing lrs"),
    (TypeError, {"loss_fn": 3}, "loss_fn to be a function"),
    (ValueError, {"batches": iter(BATCHES)}, "30 batches .*, got 3"),
    (
        ValueError,
        {"loss_fn": lambda p, b: regression(p, b) * jnp.nan},
        r"a cycle .* a finite loss, got none .* from (0\S+) to (?!\1)0.*, nor .* start",
    ),
    (
        ValueError,
        {"batches": [*BATCHES * 5, jax.tree.map(lambda a: a * jnp.nan, HELD_OUT)]},
        "a cycle .* finite loss, .* smaller rates, or look for a batch whose loss is n",
    ),
]


@pytest.mark.parametrize(
    ("error", "wrong", "message"), WRONG, ids=[message for _, _, message in WRONG]
)
def test_what_is_wrong_is_named(error, wrong, message):
    given = {"loss_fn": regression, "params": PARAMS, "batches": BATCHES}
    given |= {"num_steps": 30, "test": reading(0.02)}
    with pytest.raises(error, match=f"^lr_sweep needs {message}"):
        lr_sweep(**given | wrong)


def test_the_loss_held_out_is_compiled_once(caplog):
    given = {"held_out": HELD_OUT, "test": reading(0.02), "at_once": 1}
    sweep(BATCHES, **given)
    with jax.log_compiles():
        sweep(BATCHES, **given)
    assert [r for r in caplog.records if "Compiling" in r.getMessage()] == []


def test_of_a_coarse_grid_eight_at_once_get_half_a_cycle(monkeypatch):
    several = []

    def counted(name, step, begins, batches, length):
        several.append((len(begins), length))
        return loop.iterate(name, step, begins, batches, length)

    monkeypatch.setattr("clr_optax._range.sweep.iterate", counted)
    wide = np.geomspace(1e-9, 10, 100)
    sweep(BATCHES, test=RangeTest(wide, np.ones(100)))
    assert several == [(8, 15), (4, 15), (3, 30)]


def test_inside_jit_it_is_refused():
    def inside(params):
        return lr_sweep(regression, params, STACKED).peaks

    with pytest.raises(TypeError, match=r"^lr_sweep needs values that are known"):
        jax.jit(inside)(PARAMS)


PEAKS = np.array([0.1, 0.2, 0.4])
CHANCE = "max_lr: no cycle ends clearly below the loss at the start"


@pytest.mark.parametrize(
    ("losses", "start", "notes"),
    [
        ([2, 1, 2], 3, ()),
        ([1, 2, 3], 4, ("max_lr: the best peak is the lowest of the grid",)),
        ([3, 2, 1], 4, ("max_lr: the best peak is the highest of the grid",)),
        ([3, 2, np.inf], 2.0, (CHANCE,)),
        ([3, 2, np.inf], 2.019, (CHANCE,)),  # 1 % of the start
        ([3, 2, np.inf], 2.021, ()),
        ([-2, -2.03, np.inf], -2.0, ()),
        ([-2, -2.01, np.inf], -2.0, (CHANCE,)),
        ([3, 2, np.inf], np.inf, ()),
        ([1, 0, 1], 0, (CHANCE,)),
    ],
)
def test_reservations_are_told(losses, start, notes):
    found = Sweep(PEAKS, np.array(losses, float), start)
    assert found.reservations() == notes
    assert repr(found).endswith("".join(f"; {note}" for note in notes) + ")")


@pytest.mark.parametrize(
    ("losses", "start", "good"),
    [
        ([2, 1, 1.039], 3, [0.2, 0.4]),  # 2 % of the fall from 3 to 1 are 0.04
        ([2, 1, 1.041], 3, [0.2]),
        ([1.039, 1.03, 1], 3, [0.1, 0.2, 0.4]),
        ([-5, -4.95, np.inf], -2, [0.1, 0.2]),
        ([2, 2.01, 3], 1.9, [0.1]),  # none falls
        ([2, 1, np.inf], np.inf, [0.2]),
        ([2, 1, np.inf], np.nan, [0.2]),
    ],
)
def test_max_lr_is_half_of_the_middle_of_the_good_peaks(losses, start, good):
    base_lr, max_lr = Sweep(PEAKS, np.array(losses, float), start).bounds()
    assert max_lr == pytest.approx(np.exp(np.log(good).mean()) / 2)
    assert base_lr == pytest.approx(max_lr / 10)


def test_the_picture_shows_the_losses_the_bounds_and_what_diverged():
    figure = pytest.importorskip("matplotlib.figure").Figure()
    found = Sweep(PEAKS, np.array([2.0, 1.0, np.inf]), 3.0)
    ax = found.plot(figure.subplots())
    known, diverged, start = ax.lines
    np.testing.assert_array_equal(known.get_xydata(), [[0.1, 2], [0.2, 1]])
    assert diverged.get_xdata().tolist() == [0.4]
    assert start.get_ydata()[0] == 3
    (shown,) = ax.patches
    assert [shown.get_x(), shown.get_x() + shown.get_width()] == [0.01, 0.1]
    said = [text.get_text() for text in ax.get_legend().get_texts()]
    assert said == ["after a cycle", "diverged", "at the start", "bounds 0.01 to 0.1"]
    assert ax.get_xscale() == "log"
    low, high = ax.get_ylim()
    assert low < 1
    assert 3 < diverged.get_ydata()[0] < high


@pytest.mark.parametrize("num_steps", [20, 120])
def test_stacked_batches_may_be_as_many_as_the_longest_part_takes(num_steps):
    """A row of indices for each step: the test takes 100, a cycle num_steps of them."""
    x, y = STACKED
    rows = jnp.arange(max(num_steps, 100) * 4).reshape(-1, 4) % x[0].shape[0]

    def loss_fn(params, rows):
        return regression(params, (x[0][rows], y[0][rows]))

    found = lr_sweep(loss_fn, PARAMS, rows, num_steps=num_steps)
    listed = lr_sweep(loss_fn, PARAMS, list(rows), num_steps=num_steps)
    np.testing.assert_allclose(found.losses, listed.losses, rtol=1e-6)
    more = jnp.concatenate([rows, rows[:1]])
    with pytest.raises(ValueError, match=f"than the {len(rows)} that it takes"):
        lr_sweep(loss_fn, PARAMS, more, num_steps=num_steps)

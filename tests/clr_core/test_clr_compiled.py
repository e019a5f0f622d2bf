"""The schedule under jit, vmap, scan and grad: same values, types and cost."""

import functools
import logging
import math

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest

from clr_core import clr

LAST = 2**31 - 1
MODES = ["triangular", "triangular2", "exp_range"]
OPTIONS = [{"mode": mode, "gamma": 0.9375} for mode in MODES] + [
    {"scale_fn": lambda cycle: 1 / cycle},
    {"scale_fn": lambda step: jnp.exp(-step / 64), "scale_mode": "iterations"},
    {"anneal": "cosine", "mode": "exp_range", "gamma": 0.9375},
    {"cycle_mult": 2, "mode": "triangular2"},
]
NAMES = [*MODES, "scale by cycle", "scale by step", "half cosines", "growing"]
pytestmark = pytest.mark.usefixtures("strict")


@pytest.mark.parametrize("options", OPTIONS, ids=NAMES)
@pytest.mark.parametrize("first", [0, 10**6, LAST - 40])
def test_eager_jit_vmap_and_scan_agree(first, options):
    steps = jnp.arange(40) + first

    def rate(step):
        return clr(step, 0.001, 0.1, 7, step_size_down=3, **options)

    one_by_one = jnp.stack([rate(int(step)) for step in steps])
    _, scanned = jax.lax.scan(lambda _, step: (None, rate(step)), None, steps)
    for other in (
        rate(steps),
        jax.jit(rate)(steps),
        jax.vmap(rate)(steps),
        jax.jit(jax.vmap(rate))(steps),
        scanned,
    ):
        np.testing.assert_array_max_ulp(one_by_one, other, maxulp=2)


@pytest.mark.parametrize("x64", [False, True])
@pytest.mark.parametrize(
    "kind", ["int8", "int32", "int64", "uint8", "uint16", "uint32"]
)
def test_every_integer_type_counts_alike(kind, x64):
    count = int(np.iinfo(kind).max) if kind in ("int8", "uint8", "uint16") else LAST
    want = (count % 14 if count % 14 <= 7 else 14 - count % 14) / 7
    with jax.enable_x64(x64):
        for step in (np.dtype(kind).type(count), np.array([count], kind)):
            for size in (7, np.array(7, "int16")):
                got = clr(step, 0.0, 1.0, size)
                np.testing.assert_allclose(got, want, rtol=1e-6)
                assert (got.dtype, got.weak_type) == (jnp.float32, False)


def test_x64_counts_beyond_int32():
    with jax.enable_x64(True):
        step = 2**62 + 3
        assert clr(step, 0.0, 1.0, 4) == 0.75
        assert clr(np.uint64(step), 0.0, 1.0, np.int64(4)) == 0.75
        assert clr(2**40, 0.0, 1.0, 2**41) == 0.5


@pytest.mark.parametrize("options", OPTIONS[:3], ids=MODES)
@pytest.mark.parametrize(
    ("x64", "step", "base", "wide"),
    [
        (False, 3, 0, False),
        (False, np.float64(3), np.float64(0), False),
        (False, 3, jnp.bfloat16(0), False),
        (False, 3, jnp.float16(0), False),
        (True, 3, 0.0, False),
        (True, np.int64(3), 0, False),
        (True, 3.0, np.float32(0), False),
        (True, 3, np.float64(0), True),
        (True, np.float64(3), 0.0, True),
    ],
)
def test_result_is_strong_float32_unless_a_number_is_float64(
    x64, step, base, wide, options
):
    with jax.enable_x64(x64):
        rate = clr(step, base, 1, 4, **options)
        assert (rate.dtype, rate.weak_type) == (
            jnp.float64 if wide else jnp.float32,
            False,
        )
        if wide:
            scale = 0.9375**3 if options["mode"] == "exp_range" else 1
            np.testing.assert_allclose(rate, 0.75 * scale, rtol=1e-15)


def test_arguments_broadcast_together():
    steps = jnp.arange(5)[:, None, None]
    tops = jnp.ones((1, 3, 1))
    sizes = jnp.array([[[2, 4]]])
    assert clr(steps, 0.0, tops, sizes).shape == (5, 3, 2)
    assert clr(3, 0.0, tops, 4, mode="exp_range", gamma=tops).shape == (1, 3, 1)
    assert clr(jnp.zeros((0,), int), 0.0, 1.0, 4).shape == (0,)


def test_traced_gamma_has_the_bits_of_its_type():
    exact, step = 0.99994, 20_000
    want = exact**step
    numbers = step, 0.0, 1.0, step  # at the peak, the rate is the scale
    assert abs(clr(*numbers, mode="exp_range", gamma=exact) / want - 1) < 1e-6
    for traced in (jnp.float32(exact), np.float32(exact)):
        got = clr(*numbers, mode="exp_range", gamma=traced)
        assert abs(got - want) < 2e-4
        assert abs(got / float(traced) ** step - 1) < 1e-6


@pytest.mark.parametrize("kind", [np.float16, jnp.float16, jnp.bfloat16])
def test_a_gamma_of_low_precision_is_not_rounded_any_further(kind):
    gamma = kind(0.995)
    rate = clr(1004, 0.0, 1.0, 1004, mode="exp_range", gamma=gamma)
    np.testing.assert_allclose(rate, float(gamma) ** 1004, rtol=1e-4)


def rate(step, base, top, up, down, gamma, **options):
    return clr(step, base, top, up, step_size_down=down, gamma=gamma, **options)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("step", [0, 1, 3, 4, 5, 7, 9, 10, 15])
def test_gradients_are_those_of_the_formula(step, mode):
    base, top, up, down, gamma = 0.25, 1.0, 4.0, 2.0, 0.875
    cycle, place = divmod(step, 6)
    height = place / 4 if place <= 4 else (6 - place) / 2
    slope = 1 / 4 if place <= 4 else -1 / 2
    by_up = -cycle / 4 - place / 16 if place <= 4 else (cycle + 1) / 2
    by_down = -cycle / 4 if place <= 4 else (cycle + 1) / 2 - height / 2
    scale = {"triangular": 1, "triangular2": 0.5**cycle, "exp_range": gamma**step}[mode]
    decay = math.log(gamma) * height if mode == "exp_range" else 0
    want = [
        (top - base) * scale * (slope + decay),
        1 - height * scale,
        height * scale,
        (top - base) * scale * by_up,
        (top - base) * scale * by_down,
        (top - base) * height * step * gamma ** (step - 1) * (mode == "exp_range"),
    ]
    numbers = (float(step), base, top, up, down, gamma)
    got = jax.grad(functools.partial(rate, mode=mode), range(6))(*numbers)
    np.testing.assert_allclose(got, want, rtol=2e-6, atol=1e-7)
    numbers = step, base, top, 4, 2, gamma
    got = jax.grad(functools.partial(rate, mode=mode), (1, 2, 5))(*numbers)
    np.testing.assert_allclose(got, [want[i] for i in (1, 2, 5)], rtol=2e-6, atol=1e-7)


@pytest.mark.parametrize("anneal", ["linear", "cosine"])
@pytest.mark.parametrize("mode", MODES)
def test_gradients_are_finite_everywhere(mode, anneal):
    steps = jnp.array([-1.0, 0.0, 1e-30, 1e3, 1e6, 1e9, LAST])
    numbers = 0.0, 0.0, 1000.0, 1.0, 1e-30
    slopes = jax.grad(functools.partial(rate, mode=mode, anneal=anneal), range(6))
    every = jax.vmap(slopes, (0, *[None] * 5))(steps, *numbers)
    assert all(jnp.isfinite(x).all() for x in every)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", [int, np.int32])
def test_other_numbers_do_not_compile_again(mode, kind, caplog):
    def run(i, step):
        options = {"step_size_down": 2 + i, "mode": mode, "gamma": 1 / (1 + i)}
        return clr(step, 0.1 * i, 1.0 + i, 1 + i, **options)

    run(0, kind(3))
    with jax.log_compiles(), caplog.at_level(logging.WARNING):
        for i in range(1, 101):
            run(i, kind(3))
        assert not caplog.records
        run(0, np.full([1] * (4 if kind is int else 5), kind(3)))
    assert caplog.records  # a new shape does


def test_schedule_moves_no_data():
    numbers = jnp.int32(5), jnp.float32(0.1), jnp.float32(0.2), jnp.int32(4)
    clr(*numbers)
    with jax.transfer_guard("disallow"):
        clr(*numbers).block_until_ready()


def count_equations(jaxpr):
    inner = [e.params["jaxpr"].jaxpr for e in jaxpr.eqns if "jaxpr" in e.params]
    return len(jaxpr.eqns) + sum(map(count_equations, inner))


@pytest.mark.parametrize("mode", MODES)
def test_graph_is_as_small_for_a_million_cycles(mode):
    def size(step, half):
        run = functools.partial(clr, step_size=half, mode=mode, gamma=0.99)
        return count_equations(jax.make_jaxpr(run)(step, 0.1, 0.2).jaxpr)

    assert size(0, 10**6) == size(2 * 10**6, 1) == size(LAST, 1) < 100


@pytest.mark.parametrize("options", OPTIONS, ids=NAMES)
def test_lowers_for_every_platform(options):
    def slope(step, base, top, size):
        rate = functools.partial(clr, step, base, step_size=size, **options)
        return jax.value_and_grad(rate)(top)

    platforms = ("cpu", "cuda", "rocm", "tpu")
    numbers = jnp.int32(5), jnp.float32(0), jnp.float32(1), jnp.int32(4)
    exported = jax.export.export(jax.jit(slope), platforms=platforms)(*numbers)
    assert exported.platforms == platforms


@pytest.mark.parametrize(
    "scale_fn",
    [np.cos, math.cos, lambda cycle: 1.0 if cycle < 3 else 0.5],
    ids=["numpy", "math", "if"],
)
def test_a_scale_fn_that_cannot_be_traced_is_told_what_it_needs(scale_fn):
    clr(4, 0.0, 1.0, 4, scale_fn=scale_fn)  # an eager call takes it
    with pytest.raises(TypeError) as raised:
        jax.jit(lambda step: clr(step, 0.0, 1.0, 4, scale_fn=scale_fn))(4)
    assert "write it in jax.numpy" in "".join(raised.value.__notes__)

"""What experiments/RECIPES.md says about moving over, row by row."""

import inspect
import json
import math
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from clr_core import clr
from clr_optax import clr_schedule

RECIPES = Path(__file__).parents[2] / "experiments" / "RECIPES.md"
STEPS = np.arange(3000)
TFA = (
    "initial_learning_rate maximal_learning_rate step_size scale_fn scale_mode gamma "
    "name"
)
TORCH = (
    "optimizer base_lr max_lr step_size_up step_size_down mode gamma scale_fn "
    "scale_mode cycle_momentum base_momentum max_momentum last_epoch"
)
ONE_CYCLE = (
    "optimizer max_lr total_steps epochs steps_per_epoch pct_start anneal_strategy "
    "cycle_momentum base_momentum max_momentum div_factor final_div_factor three_phase "
    "last_epoch"
)
KERAS = "base_lr max_lr step_size mode gamma scale_fn scale_mode"
PARTS = {
    "### From TensorFlow Addons": TFA,
    "### From PyTorch's CyclicLR": TORCH,
    "### From PyTorch's OneCycleLR": ONE_CYCLE,
    "### From the Keras callback (bckenstler/CLR)": KERAS,
}


def published(scale_fn, scale_mode="cycle", base=1e-4, top=1e-2, step_size=250):
    """The formula of tfa and of the Keras callback, in float64."""
    step = STEPS.astype(float)
    cycle = np.floor(1 + step / (2 * step_size))
    x = np.abs(step / step_size - 2 * cycle + 1)
    scale = scale_fn(cycle if scale_mode == "cycle" else step)
    return base + (top - base) * np.maximum(0, 1 - x) * scale


def ours(**shape):
    return clr_schedule(1e-4, 1e-2, 250, **shape)(STEPS)


def table(heading: str) -> list[list[str]]:
    """The cells of all rows of a section."""
    _, section = RECIPES.read_text().split(f"{heading}\n", 1)
    rows = re.findall(r"^\| (.*) \|$", section.split("\n##")[0], re.MULTILINE)
    return [row.split(" | ") for row in rows]


def test_every_row_names_a_test_that_exists():
    sources = [file.read_text() for file in Path(__file__).parent.glob("test_*.py")]
    tests = set(re.findall(r"^def (test_\w+)", "\n".join(sources), re.MULTILINE))
    rows = [row for part in ("## Moving over", *PARTS) for row in table(part)]
    rows = [row for row in rows if row[-1] != "shown by"]
    assert len(rows) > 35
    for row in rows:
        named = set(re.findall(r"`(\w+)`", row[-1]))
        assert named <= tests, row
        assert named or "no test:" in row[-2], row


@pytest.mark.parametrize("part", PARTS)
def test_every_argument_has_a_row(part):
    cells = ", ".join(row[0] for row in table(part)).split(", ")
    assert {f"`{name}`" for name in PARTS[part].split()} <= set(cells)


def test_step_size_is_half_a_cycle():
    assert clr(np.array([0, 5, 10, 15]), 0.0, 1.0, 5).tolist() == [0, 1, 0, 1]


def test_scale_fn_is_traced():
    wave = published(lambda cycle: 0.5 * (1 + np.sin(cycle * np.pi / 2)))
    fine = ours(scale_fn=lambda cycle: 0.5 * (1 + jnp.sin(cycle * jnp.pi / 2)))
    np.testing.assert_allclose(fine, wave, rtol=1e-6)
    python = clr_schedule(0, 1, 5, scale_fn=lambda cycle: math.sin(cycle))
    branch = clr_schedule(0, 1, 5, scale_fn=lambda cycle: 1 if cycle > 3 else 2)
    for untraceable in python, branch:
        with pytest.raises(jax.errors.ConcretizationTypeError, match="traced"):
            jax.jit(untraceable)(3)


@pytest.mark.parametrize(
    ("scale_mode", "given"),
    [("cycle", [1, 1, 1, 1, 2, 2, 2, 2, 3, 3]), ("iterations", list(range(10)))],
)
def test_scale_fn_is_given_the_cycle_or_the_step(scale_mode, given):
    seen = []

    def look(x):
        seen.extend(x.tolist())
        return 1.0

    clr(np.arange(10), 0.0, 1.0, 2, scale_fn=look, scale_mode=scale_mode)
    assert seen == given


def test_scale_fn_is_given_floats():
    """In int32 the first would overflow to a negative rate, the second to NaN."""
    by_step = {"scale_fn": lambda step: 1 / (1 + 1e-9 * step**2)}
    rate = clr(50_001, 0.0, 1.0, 1, scale_mode="iterations", **by_step)
    np.testing.assert_allclose(rate, 1 / (1 + 1e-9 * 50_001.0**2), rtol=1e-6)
    assert clr(79, 0.0, 1.0, 1, scale_fn=lambda cycle: 1 / 2 ** (cycle - 1)) == 2**-39
    seen = []
    clr(5, 0.0, 1.0, 2, scale_fn=lambda cycle: seen.append(cycle) or 1.0)
    assert [x.dtype for x in seen] == [jnp.float32]


def test_optax_counts_by_itself():
    optimizer = optax.sgd(clr_schedule(0.25, 1.0, 3))
    state = optimizer.init(jnp.zeros(()))
    updates = []
    for _ in range(4):
        update, state = optimizer.update(jnp.ones(()), state)
        updates.append(float(update))
    assert updates == [-0.25, -0.5, -0.75, -1.0]


def test_bounds_in_the_wrong_order_are_refused():
    assert clr(np.arange(3), 1.0, 0.0, 2).tolist() == [1, 0.5, 0]
    with pytest.raises(ValueError, match="needs base_lr <= max_lr"):
        clr_schedule(1.0, 0.0, 2)


@pytest.mark.parametrize(
    ("tfa", "here"),
    [
        ((lambda x: 1.0,), {}),
        ((lambda x: 1 / 2.0 ** (x - 1),), {"mode": "triangular2"}),
        ((lambda x: 0.999**x, "iterations"), {"mode": "exp_range", "gamma": 0.999}),
        ((lambda x: 1 / x,), {"scale_fn": lambda x: 1 / x}),
    ],
    ids=["Triangular", "Triangular2", "Exponential", "base class"],
)
def test_tfa_classes(tfa, here):
    np.testing.assert_allclose(ours(**here), published(*tfa), rtol=1e-6)


def test_tfa_scale_mode_of_the_classes():
    plain = published(lambda step: 1.0, "iterations")
    np.testing.assert_allclose(ours(), plain, rtol=1e-6)
    halved = published(lambda step: 2.0 ** -(step - 1), "iterations")
    by_step = {"scale_fn": lambda step: 2.0 ** (1 - step), "scale_mode": "iterations"}
    np.testing.assert_allclose(ours(**by_step), halved, rtol=1e-6)
    fading = published(lambda cycle: 0.96**cycle, "cycle")
    by_cycle = {"scale_fn": lambda cycle: 0.96**cycle}
    np.testing.assert_allclose(ours(**by_cycle), fading, rtol=1e-6)


def test_rates_are_numbers():
    with pytest.raises(TypeError, match="needs base_lr"):
        clr_schedule(lambda: 0.1, 1.0, 5)
    with pytest.raises(TypeError, match="needs max_lr"):
        clr_schedule(0.1, lambda: 1.0, 5)
    rate = clr_schedule(0, 1, 4)(1)
    assert (float(rate), rate.dtype) == (0.25, jnp.float32)


def test_step_size_is_whole():
    assert clr_schedule(0, 1, 2000.0) == clr_schedule(0, 1, 2000)
    with pytest.raises(ValueError, match="a whole step_size"):
        clr_schedule(0, 1, 2000.5)


def test_bounds_and_step_size_have_no_defaults():
    required = [
        name
        for name, parameter in inspect.signature(clr_schedule).parameters.items()
        if parameter.default is parameter.empty
    ]
    assert required == ["base_lr", "max_lr", "step_size"]


def test_scale_mode_is_checked():
    with pytest.raises(ValueError, match="did you mean 'cycle'"):
        clr_schedule(0, 1, 5, scale_fn=jnp.sin, scale_mode="cycles")
    with pytest.raises(ValueError, match="scale_fn with scale_mode='iterations'"):
        clr_schedule(0, 1, 5, mode="triangular2", scale_mode="iterations")
    with pytest.raises(ValueError, match="did you mean 'triangular2'"):
        clr_schedule(0, 1, 5, mode="triangle2")


def test_gamma_is_checked():
    with pytest.raises(ValueError, match="needs 0 < gamma <= 1"):
        clr_schedule(0, 1, 5, mode="exp_range", gamma=1.01)
    with pytest.raises(ValueError, match="mode='exp_range' with gamma"):
        clr_schedule(0, 1, 5, gamma=0.9)


def test_the_configuration_is_json():
    schedule = clr_schedule(1e-4, 1e-2, 250, scale_fn=jnp.sin)
    stored = json.loads(json.dumps(schedule.config()))
    assert clr_schedule(**stored) == schedule
    with pytest.raises(TypeError, match="def at the top of a module"):
        clr_schedule(0, 1, 5, scale_fn=lambda cycle: 1 / cycle).config()


def test_mode_beside_scale_fn():
    with pytest.raises(ValueError, match="only one of mode and scale_fn"):
        clr_schedule(0, 1, 5, mode="triangular2", scale_fn=jnp.sin)


def test_a_schedule_has_no_state():
    schedule = clr_schedule(0, 1, 4)
    assert [float(schedule(count)) for count in (3, 0, 3)] == [0.75, 0, 0.75]

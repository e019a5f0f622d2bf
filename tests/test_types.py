"""What type checkers say of a user's program, against the installed wheel.

The program names everything public and is right; of the mistakes each line is wrong.
"""

import importlib.util
import json
import re
import shutil
import sys
import sysconfig
import venv
from pathlib import Path

import children
import pytest

import clr_core
import clr_optax

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[1]

PROGRAM = """
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
from clr_core import clr, suggest_bounds, suggest_lr
from clr_optax import CyclicalSchedule, RangeTest, Sweep, clr_schedule
from clr_optax import lr_range_test, lr_sweep
from clr_optax import momentum_schedule
from numpy.typing import NDArray

# numbers, arrays and functions
rate: jax.Array = clr(3000, 0.001, 0.01, 2000)
rates: jax.Array = clr(jnp.arange(9), 0.0, np.float32(1.0), 4, step_size_down=2)
falling: jax.Array = clr(4, 0.0, 1.0, 4, mode="exp_range", gamma=0.5)
growing: jax.Array = clr(4, 0.0, 1.0, 4, cycle_mult=2)
rounder: jax.Array = clr(4, 0.0, 1.0, 4, mode="triangular2", anneal="cosine")


def fade(step: jax.Array) -> jax.Array:
    return jnp.maximum(1 - step / 32, 0)


faded: jax.Array = clr(4, 0.0, 1.0, 4, scale_fn=fade, scale_mode="iterations")
top: jax.Array = jax.grad(lambda top: clr(5, 0.0, top, 4))(1.0)

# schedules are values that can be named
schedule: CyclicalSchedule = clr_schedule(0.001, 0.01, step_size=2000)
momentum: CyclicalSchedule = momentum_schedule(0.85, 0.95, 2000, anneal="linear")
grown = clr_schedule(0.001, 0.01, 2000, cycle_mult=np.int64(2))
named = clr_schedule(0.0, 1.0, 4, scale_fn="operator:neg", scale_mode="cycle")
now: jax.Array = schedule(7)
again = clr_schedule(**schedule.config())
ends: NDArray[np.int64] = schedule.cycle_ends(np.int64(10_000))


def rates_of(schedule: CyclicalSchedule, counts: list[int]) -> list[float]:
    return [float(schedule(count)) for count in counts]


# range tests, of stacked and of streamed batches
def loss_fn(params: jax.Array, batch: jax.Array) -> jax.Array:
    return jnp.sum((params - batch) ** 2)


def batches() -> Iterator[NDArray[np.float64]]:
    for _ in range(100):
        yield np.zeros(3)


test: RangeTest = lr_range_test(loss_fn, jnp.ones(3), jnp.zeros((1, 3)), min_lr=1e-4)
streamed = lr_range_test(loss_fn, jnp.ones(3), batches(), spacing="linear")
steps = np.int64(10)
short = lr_range_test(loss_fn, jnp.ones(3), batches(), num_steps=steps, accumulate=2)
stacked = jnp.zeros((1, 3))
sweep: Sweep = lr_sweep(loss_fn, jnp.ones(3), stacked, test=test, num_steps=2 * steps)
swept: tuple[float, float] = sweep.bounds()
curve: tuple[jax.Array, jax.Array] = (test.lrs, test.losses)


def report(test: RangeTest) -> str:
    base_lr, max_lr = test.bounds()
    return f"{base_lr:.3g} to {max_lr:.3g}, valley {test.suggest('valley'):.3g}"


# readings, of arrays and of lists that another trainer filled
base_lr, max_lr = suggest_bounds(test.lrs, test.losses)
lr: jax.Array = suggest_lr(test.lrs, test.losses, rule="steep")
tried = [2.0**power for power in range(-16, 4)]
seen = [2] * 8 + [1.75, 1.5, 1.25, 1.0, 0.75, 0.5] + [0.5, 1, 2, 4, 8, 16]
lr = suggest_lr(tried, seen)
base_lr, max_lr = suggest_bounds(tuple(tried), np.array(seen))
found = clr_schedule(base_lr, max_lr, step_size=10)
bounds: tuple[float, float] = test.bounds()
found = clr_schedule(*bounds, step_size=10)
"""

MISTAKES = """
import jax
from clr_core import clr, suggest_lr
from clr_optax import RangeTest, clr_schedule, lr_range_test, momentum_schedule

clr(1, 0.0, 1.0, 4, mode="triangle")
clr(1, 0.0, 1.0, 4, anneal="cos")
clr(1, 0.0, 1.0)
clr_schedule(0.0, 1.0, 4, mode="Triangular")
clr_schedule(0.0, 1.0, 4, scale_mode="iteration")
clr_schedule(0.0, "1.0", 4)
clr_schedule(0.0, 1.0, 4, cycle_mult=1.5)
clr_schedule(0.0, 1.0, 4, "triangular2")
momentum_schedule(0.85, 0.95, 4, anneal="cosines")
suggest_lr([0.1], [0.1], rule="valleys")
lr_range_test(len, 1.0, [1.0], spacing="exp")
lr_range_test(len, 1.0, [1.0], num_steps="100")
rate: float = clr_schedule(0.0, 1.0, 4)
test: RangeTest = clr_schedule(0.0, 1.0, 4)
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """A Python that has the wheel, and for the rest this environment's packages."""
    folder = tmp_path_factory.mktemp("installed")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder]
    children.run(build, cwd=ROOT, check=True, capture_output=True)
    venv.create(folder / "venv", symlinks=True)
    python = folder / "venv" / "bin" / "python"
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    found = children.run(
        [python, "-c", where], capture_output=True, check=True, text=True
    )
    site = Path(found.stdout.strip())
    shutil.unpack_archive(next(folder.glob("*.whl")), site, "zip")
    (site / "rest.pth").write_text(sysconfig.get_path("purelib"))
    return python


def mypy(python, folder):
    """Returns the lines with errors, file by file, as mypy --strict finds them."""
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file="]
    command += ["--python-executable", python, "--cache-dir", folder / "cache"]
    return errors(command, folder, r"^(\w+)\.py:(\d+): error: (.*)$")


def pyright(python, folder):
    """Returns the lines with errors, file by file, as pyright finds them."""
    if importlib.util.find_spec("pyright") is None:
        pytest.skip("needs pip install pyright")
    if shutil.which("node") is None:
        pytest.skip("pyright needs node")
    settings = {"reportMissingModuleSource": False}
    (folder / "pyrightconfig.json").write_text(json.dumps(settings))
    command = [sys.executable, "-m", "pyright", "--pythonpath", python]
    return errors(command, folder, r"^.*?(\w+)\.py:(\d+):\d+ - error: (.*)$")


def errors(command, folder, pattern):
    """Returns {file: {line: message}} of a checker's run over program and mistakes."""
    for name, text in (("program", PROGRAM), ("mistakes", MISTAKES)):
        (folder / f"{name}.py").write_text(text)
    files = ["program.py", "mistakes.py"]
    done = children.run(
        [*command, *files], cwd=folder, capture_output=True, text=True, check=False
    )
    found = {"program": {}, "mistakes": {}}
    for file, line, message in re.findall(pattern, done.stdout, re.MULTILINE):
        found[file][int(line)] = message
    assert found["mistakes"], done.stdout + done.stderr
    return found


@pytest.mark.parametrize("check", [mypy, pyright])
def test_the_program_is_right_and_each_mistake_is_found(check, python, tmp_path):
    found = check(python, tmp_path)
    assert found["program"] == {}
    wrong = {
        number
        for number, line in enumerate(MISTAKES.splitlines(), 1)
        if line and "import" not in line
    }
    assert set(found["mistakes"]) == wrong, found["mistakes"]


def test_the_program_runs(python, tmp_path):
    children.run([python, "-c", PROGRAM], cwd=tmp_path, check=True)


@pytest.mark.parametrize("package", [clr_core, clr_optax])
def test_the_program_names_everything_public(package):
    public = {name for name in vars(package) if not name.startswith("_")}
    assert public
    assert all(re.search(rf"\b{name}\b", PROGRAM) for name in public)

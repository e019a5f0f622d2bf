"""The house has three floors, and imports point down only."""

import ast
import sys
from pathlib import Path

import children
import pytest

ROOT = Path(__file__).parent.parent
PROGRAMS = {"flax", "matplotlib", "orbax", "tensorflow_datasets"}


def loaded_by(package):
    """Returns the top-level modules that a fresh process has after the import."""
    code = (
        f"import {package}, sys; print(*{{name.split('.')[0] for name in sys.modules}})"
    )
    done = children.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        check=True,
        text=True,
    )
    return set(done.stdout.split())


def test_core_needs_jax_and_numpy_only():
    loaded = loaded_by("clr_core")
    assert {"clr_core", "jax", "numpy"} <= loaded
    assert loaded.isdisjoint(PROGRAMS | {"optax", "clr_optax"})


def test_optax_floor_needs_no_flax():
    loaded = loaded_by("clr_optax")
    assert {"clr_core", "clr_optax", "optax"} <= loaded
    assert loaded.isdisjoint(PROGRAMS)


def test_importing_does_not_load_pallas():
    """It takes longer than all else in `import clr_optax` beyond Optax."""
    code = "import clr_optax, sys; print(any('pallas' in m for m in sys.modules))"
    command = [sys.executable, "-c", code]
    done = children.run(command, cwd=ROOT, capture_output=True, check=True, text=True)
    assert done.stdout == "False\n"


@pytest.mark.parametrize(
    ("floor", "allowed"),
    [
        ("clr_core", {"jax", "numpy", "clr_core"}),
        (
            "clr_optax",  # matplotlib inside RangeTest.plot only, see above
            {"jax", "numpy", "optax", "clr_core", "clr_optax", "matplotlib"},
        ),
    ],
)
def test_floors_import_what_they_may(floor, allowed):
    files = list((ROOT / floor).rglob("*.py"))
    assert files
    for file in files:
        for node in ast.walk(ast.parse(file.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0
                names = [node.module]
            roots = {name.split(".")[0] for name in names}
            assert roots <= allowed | sys.stdlib_module_names, file.name


def test_private_names_cross_at_one_place():
    crossing = {
        file.name
        for file in (ROOT / "clr_optax").rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.ImportFrom) and node.module.startswith("clr_core._")
    }
    assert crossing == {"_core.py"}


def test_importing_starts_no_device():
    code = (
        "import clr_optax, jax; clr_optax.clr_schedule(0.0, 1.0, 4);"
        "jax.config.update('jax_num_cpu_devices', 3);"  # raises after the start
        "assert jax.device_count('cpu') == 3"
    )
    children.run([sys.executable, "-c", code], cwd=ROOT, check=True)


@pytest.mark.parametrize(
    ("package", "names"),
    [
        ("clr_core", {"clr", "suggest_lr", "suggest_bounds"}),
        ("clr_optax", {"clr_schedule", "momentum_schedule", "lr_range_test"}),
    ],
)
def test_public_names_are_documented(package, names):
    module = __import__(package)
    for name in names:
        text = getattr(module, name).__doc__
        assert text.splitlines()[0].endswith(".")
        for part in ("Args:", "Returns:", "Raises:", "Examples:", ">>> "):
            assert part in text, (name, part)

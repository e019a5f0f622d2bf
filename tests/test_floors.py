"""The house has three floors, and imports point down only."""

import ast
import inspect
import sys
from pathlib import Path

import children
import pytest

import clr_core
import clr_optax

ROOT = Path(__file__).parent.parent
PROGRAMS = {"flax", "matplotlib", "orbax", "tensorflow_datasets"}


def loaded_by(package):
    """Returns the modules that a fresh process has after the import."""
    command = [sys.executable, "-c", f"import {package}, sys; print(*sys.modules)"]
    done = children.run(command, cwd=ROOT, capture_output=True, check=True, text=True)
    return set(done.stdout.split())


def test_core_needs_jax_and_numpy_only():
    loaded = loaded_by("clr_core")
    assert {"clr_core", "jax", "numpy"} <= loaded
    assert loaded.isdisjoint(PROGRAMS | {"optax", "clr_optax"})


def test_optax_floor_needs_no_flax():
    loaded = loaded_by("clr_optax")
    assert {"clr_core", "clr_optax", "optax"} <= loaded
    assert loaded.isdisjoint(PROGRAMS)
    # which takes longer than all else in `import clr_optax` beyond Optax
    assert not any("pallas" in name for name in loaded)


@pytest.mark.parametrize(
    ("floor", "allowed"),
    [
        ("clr_core", {"jax", "numpy", "clr_core"}),
        (
            "clr_optax",  # matplotlib when a picture is asked for, see above
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


@pytest.mark.parametrize("package", [clr_core, clr_optax])
def test_public_functions_are_documented(package):
    functions = [x for x in vars(package).values() if inspect.isfunction(x)]
    assert len(functions) >= 3
    for function in functions:
        for part in ("Args:", "Returns:", "Raises:", "Examples:", ">>> "):
            assert part in function.__doc__, (function.__name__, part)

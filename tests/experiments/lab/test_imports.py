"""Arrows between the modules of the lab and the programs."""

import ast
import graphlib
from pathlib import Path

EXPERIMENTS = Path(__file__).parents[3] / "experiments"
MODULES = {
    ".".join(path.relative_to(EXPERIMENTS).with_suffix("").parts): path
    for path in EXPERIMENTS.rglob("*.py")
}
PROGRAMS = {name for name in MODULES if "." not in name}


def imported_by(path):
    """The modules of experiments/ that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, path
            inside = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name in MODULES else node.module for name in inside]
        for name in names:
            found |= {name, f"{name}.__init__"} & MODULES.keys()
    return found


ARROWS = {name: imported_by(path) for name, path in MODULES.items()}


def test_there_are_modules_and_arrows():
    assert {"fashion", "lab.training", "lab.data.sources"} <= MODULES.keys()
    assert "lab.network" in ARROWS["fashion"]
    assert "lab.data.__init__" in ARROWS["lab.network"]


def test_nothing_imports_a_program():
    for name, targets in ARROWS.items():
        assert targets.isdisjoint(PROGRAMS), name


def test_programs_import_the_lab_and_nothing_else_beside_them():
    for name in PROGRAMS:
        assert all(target.startswith("lab.") for target in ARROWS[name])


def test_there_is_no_circle():
    order = list(graphlib.TopologicalSorter(ARROWS).static_order())
    assert len(order) == len(MODULES)


def test_no_module_has_the_name_of_a_folder_beside_it():
    for path in MODULES.values():
        assert not path.with_suffix("").is_dir(), path


def test_product_code_patches_nothing():
    """It sets no attribute of what it imports."""
    for path in MODULES.values():
        nodes = list(ast.walk(ast.parse(path.read_text())))
        imports = [n for n in nodes if isinstance(n, ast.Import | ast.ImportFrom)]
        aliases = [alias for node in imports for alias in node.names]
        imported = {(alias.asname or alias.name).split(".")[0] for alias in aliases}
        for node in nodes:
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                assert ast.unparse(node).split(".")[0] not in imported, path
            if isinstance(node, ast.Name):
                assert node.id not in ("setattr", "mock", "patch"), path

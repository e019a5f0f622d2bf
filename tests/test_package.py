"""What is published: the files of wheel and sdist, and the page made of the README."""

import re
import sys
import tarfile
import zipfile
from email import message_from_string
from pathlib import Path

import children
import pytest

import clr_core
import clr_optax

ROOT = Path(__file__).parents[1]
NAME = f"clr_jax-{clr_core.__version__}"


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A folder with the wheel and the sdist."""
    folder = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "hatchling", "build", "-d", folder]
    children.run(build, cwd=ROOT, check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def wheel(built):
    with zipfile.ZipFile(built / f"{NAME}-py3-none-any.whl") as archive:
        yield archive


@pytest.fixture(scope="module")
def page(wheel):
    """The wheel's metadata, whose text is the page that PyPI shows."""
    return message_from_string(wheel.read(f"{NAME}.dist-info/METADATA").decode())


@pytest.mark.parametrize("package", [clr_core, clr_optax])
def test_all_names_what_is_public(package):
    public = {name for name in vars(package) if not name.startswith("_")}
    assert set(package.__all__) == public


def test_the_wheel_is_the_two_packages(wheel):
    files = {name for name in wheel.namelist() if ".dist-info/" not in name}
    packages = {
        path.relative_to(ROOT).as_posix()
        for package in ("clr_core", "clr_optax")
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert files == packages
    assert {"clr_core/py.typed", "clr_optax/py.typed"} <= files
    assert f"{NAME}.dist-info/licenses/LICENSE" in wheel.namelist()


def test_nothing_moves_what_a_user_has(page):
    """No upper bound; and JAX alone chooses jaxlib, which has to fit its plugins."""
    needs = [need for need in page.get_all("Requires-Dist") if "extra" not in need]
    found = {re.match(r"^([\w-]+)>=[\d.]+$", need)[1] for need in needs}
    assert found == {"jax", "numpy", "optax"}


def test_the_sdist_is_what_the_readmes_commands_need(built):
    with tarfile.open(built / f"{NAME}.tar.gz") as archive:
        files = {Path(name).relative_to(NAME) for name in archive.getnames()}
    tops = {path.parts[0] for path in files}
    kinds = {path.suffix for path in files if len(path.parts) > 1}
    assert tops == {
        *("clr_core", "clr_optax", "experiments", "tests"),
        *("README.md", "LICENSE", "pyproject.toml", "PKG-INFO", ".gitignore"),
    }
    assert kinds == {".py", ".md", ".typed"}
    assert Path("experiments/fashion.py") in files
    assert Path("tests/conftest.py") in files
    assert not any("results" in path.parts for path in files)


def test_the_page_has_no_link_that_only_a_clone_resolves(page):
    assert page["Description-Content-Type"] == "text/markdown"
    links = re.findall(r"\]\(([^)]*)\)", page.get_payload())
    assert links
    assert all(link.startswith("https://") for link in links)
    assert "![" not in page.get_payload()


def test_the_page_keeps_the_readmes_code_and_tables(page):
    readme = (ROOT / "README.md").read_text()
    blocks = re.findall(r"```.*?```", readme, re.DOTALL)
    rows = re.findall(r"^\|.*\|$", readme, re.MULTILINE)
    assert len(blocks) >= 2
    assert all(block in page.get_payload() for block in blocks)
    assert all(row in page.get_payload() for row in rows if "](" not in row)


def test_the_changes_end_with_this_version_on_top(page):
    changes = (ROOT / "clr_core" / "CHANGES.md").read_text()
    assert re.findall(r"^## (\S+)", changes, re.MULTILINE)[0] == clr_core.__version__
    assert page["Version"] == clr_core.__version__
    assert page.get_payload().rstrip().endswith(changes.rstrip())

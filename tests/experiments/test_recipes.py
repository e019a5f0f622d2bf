"""Recipes are listed and run; training takes the rate of every step."""

import re
from pathlib import Path

import numpy as np
import pytest
from recipe_code import FILE, check_output, code_of, line, run

TEXT = FILE.read_text()
HEADINGS = re.findall(r"^## (.*)$", TEXT, re.MULTILINE)
INDEX, *SECTIONS = TEXT.split("\n## ")


def anchor(heading: str) -> str:
    """Returns the link to a heading, as GitHub makes it."""
    return "#" + re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("heading", HEADINGS)
def test_recipes_are_listed_and_run(heading):
    assert f"]({anchor(heading)})" in INDEX
    tests = [file.read_text() for file in Path(__file__).parent.glob("test_*.py")]
    assert any(f'"{heading}"' in test or f'"## {heading}"' in test for test in tests)


def test_every_link_leads_somewhere():
    anchors = set(map(anchor, re.findall("^##+ (.*)$", TEXT, re.MULTILINE)))
    targets = re.findall(r"\]\((.*?)\)", TEXT)
    assert len(targets) > 20
    for target in targets:
        assert target in anchors or (FILE.parent / target).is_file(), target


@pytest.mark.parametrize("section", SECTIONS[:-1], ids=HEADINGS[:-1])
def test_every_recipe_has_its_output_or_its_picture(section):
    assert "```text\n" in section or "\n![" in section


@pytest.mark.parametrize("table", [0, 1], ids=["framework", "question"])
def test_a_table_lists_its_recipes_in_their_order(table):
    anchors = [*map(anchor, HEADINGS)]
    rows = re.findall(r"(?:^\|.*\n)+", INDEX + "\n", re.MULTILINE)[table].splitlines()
    places = [anchors.index(re.findall(r"\((#.*?)\)", row)[-1]) for row in rows[2:]]
    assert len(places) > 8
    assert places == sorted(places)


def descend(weights, x, y) -> np.ndarray:
    """400 steps of gradient descent in float64; they do not end with a cycle."""
    for step in range(400):
        place = step % 120
        rate = 1e-3 + (1e-1 - 1e-3) * min(place, 120 - place) / 60
        weights = weights - rate * 2 * x.T @ (x @ weights - y) / len(y)
    return weights


@pytest.mark.parametrize("recipe", ["NumPy", "JAX without Optax"])
def test_no_framework_is_needed(recipe, capsys):
    x, y = line()
    (code,) = code_of(recipe)
    weights = run(code, x=x, y=y)["weights"]
    check_output(capsys.readouterr().out, recipe, rtol=1e-2)
    np.testing.assert_allclose(weights, descend(np.zeros(3), x, y), rtol=1e-5)

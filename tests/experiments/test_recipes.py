"""Recipes are short, listed and run; training takes the rate of every step."""

import re
from pathlib import Path

import numpy as np
import pytest
from recipe_code import FILE, code_of, line, run

TEXT = FILE.read_text()
HEADINGS = re.findall(r"^## (.*)$", TEXT, re.MULTILINE)


@pytest.mark.parametrize("heading", HEADINGS)
def test_recipes_are_listed_and_run(heading):
    anchor = re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-")
    assert f"](#{anchor})" in TEXT.split("\n## ")[0]
    tests = [file.read_text() for file in Path(__file__).parent.glob("test_*.py")]
    assert any(f'"{heading}"' in test or f'"## {heading}"' in test for test in tests)


def test_every_link_leads_somewhere():
    anchors = {
        re.sub(r"[^a-z0-9 -]", "", h.lower()).replace(" ", "-") for h in HEADINGS
    }
    targets = re.findall(r"\]\((.*?)\)", TEXT)
    assert len(targets) > 20
    for target in targets:
        assert target[1:] in anchors or (FILE.parent / target).is_file(), target


def test_no_line_repeats_another():
    prose = re.sub(r"```.*?```", "", TEXT, flags=re.DOTALL).splitlines()
    prose = [text for text in prose if re.search("[a-z]{3}.*[a-z]{3}.*[a-z]{3}", text)]
    heads = [text for text in prose if text.startswith("| argument")]
    assert len(prose) > 80
    assert len(set(prose)) == len(prose) - len(heads) + len(set(heads))


@pytest.mark.parametrize("heading", HEADINGS[:-1])
def test_no_block_takes_more_than_12_lines(heading):
    for block in code_of(heading):
        lines = [text for text in block.splitlines() if text.strip()]
        own = [text for text in lines if not re.match("(import|from) ", text)]
        assert len(own) <= 12


def descend(weights, x, y) -> np.ndarray:
    """400 steps of gradient descent in float64; they do not end with a cycle."""
    for step in range(400):
        place = step % 120
        rate = 1e-3 + (1e-1 - 1e-3) * min(place, 120 - place) / 60
        weights = weights - rate * 2 * x.T @ (x @ weights - y) / len(y)
    return weights


@pytest.mark.parametrize("recipe", ["NumPy", "JAX without Optax"])
def test_no_framework_is_needed(recipe):
    x, y = line()
    (code,) = code_of(recipe)
    weights = run(code, x=x, y=y)["weights"]
    np.testing.assert_allclose(weights, descend(np.zeros(3), x, y), rtol=1e-5)

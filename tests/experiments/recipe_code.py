"""The code of experiments/RECIPES.md, for the tests that run it."""

import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest

FILE = Path(__file__).parents[2] / "experiments" / "RECIPES.md"
SLOPES = [1.0, -2.0, 0.5]


def code_of(heading: str) -> list[str]:
    """Returns the code blocks under a heading."""
    _, section = FILE.read_text().split(f"\n## {heading}\n")
    blocks = re.findall(r"```python\n(.*?)```", section.split("\n## ")[0], re.DOTALL)
    assert blocks
    return blocks


def run(code: str, **names: object) -> dict:
    """Runs code in a module of its own that has these names; returns all names."""
    names["__name__"] = "recipe"
    exec(compile(code, str(FILE), "exec"), names)
    return names


def needs(framework: str) -> pytest.MarkDecorator:
    missing = importlib.util.find_spec(framework) is None
    return pytest.mark.skipif(missing, reason=f"{framework} is not installed")


def line() -> tuple[np.ndarray, np.ndarray]:
    """Inputs, and the outputs of a linear function that a recipe is to learn."""
    x = np.random.default_rng(0).normal(0, 0.3, (32, 3)).astype(np.float32)
    return x, x @ np.array(SLOPES, np.float32)

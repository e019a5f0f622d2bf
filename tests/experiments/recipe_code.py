"""The code of experiments/RECIPES.md, for the tests that run it."""

import importlib.util
import re
from functools import partial
from pathlib import Path

import jax
import numpy as np
import pytest

FILE = Path(__file__).parents[2] / "experiments" / "RECIPES.md"
NUMBER = r"(\d+(?:\.\d+)?(?:e-?\d+)?)"
SLOPES = [1.0, -2.0, 0.5]


def blocks(heading: str, language: str) -> list[str]:
    """Returns the blocks of a language under a heading, on the lines where they are."""
    text = FILE.read_text()
    start = text.index(f"\n## {heading}\n")
    end = text.find("\n## ", start + 1)
    fences = re.compile(rf"```{language}\n(.*?)```", re.DOTALL)
    found = list(fences.finditer(text, start, len(text) if end < 0 else end))
    assert found
    return ["\n" * text[: f.start(1)].count("\n") + f.group(1) for f in found]


def code_of(heading: str) -> list[str]:
    return blocks(heading, "python")


def check_output(printed: str, heading: str, block: int = 0, rtol: float = 1e-5):
    """Asserts that what was printed begins like a block of text under a heading."""
    lines = blocks(heading, "text")[block].strip().splitlines()
    shown = re.split(NUMBER, "\n".join(lines))
    found = re.split(NUMBER, "\n".join(printed.splitlines()[: len(lines)]))
    assert found[::2] == shown[::2], printed
    numbers = [list(map(float, parts[1::2])) for parts in (found, shown)]
    np.testing.assert_allclose(*numbers, rtol=rtol)


def run(code: str, **names: object) -> dict:
    """Runs code in a module of its own that has these names; returns all names."""
    names["__name__"] = "recipe"
    exec(compile(code, str(FILE), "exec"), names)
    return names


def needs(framework: str) -> pytest.MarkDecorator:
    missing = importlib.util.find_spec(framework) is None
    return pytest.mark.skipif(missing, reason=f"{framework} is not installed")


def line(rows: int = 32) -> tuple[np.ndarray, np.ndarray]:
    """Inputs, and the outputs of a linear function that a recipe is to learn."""
    x = np.random.default_rng(0).normal(0, 0.3, (rows, 3)).astype(np.float32)
    return x, x @ np.array(SLOPES, np.float32)


def split(rows: np.ndarray, number: int = 4) -> np.ndarray:
    """Returns rows with a leading axis over batches."""
    return rows.reshape(number, -1, *rows.shape[1:])


def batches_of(**stacked: np.ndarray) -> list[dict[str, np.ndarray]]:
    """Returns a list of batches from arrays with a leading axis over them."""
    parts = zip(*stacked.values(), strict=True)
    return [dict(zip(stacked, part, strict=True)) for part in parts]


def triangle(steps, low: float, high: float, step_size: int) -> np.ndarray:
    """Returns the triangular rates in float64."""
    place = np.asarray(steps) % (2 * step_size)
    return low + (high - low) * np.minimum(place, 2 * step_size - place) / step_size


def check_curve(test, losses) -> np.ndarray:
    """Asserts that a curve begins with losses; returns 40 rates of a cycle by it.

    The losses end before they are chaotic. Half a cycle has 16 steps.
    """
    assert len(losses) > 70
    np.testing.assert_allclose(test.losses[: len(losses)], losses, rtol=1e-5)
    base_lr, max_lr = test.bounds()
    assert 1e-6 < base_lr < max_lr < 10
    return triangle(np.arange(40), base_lr, max_lr, 16)


def check_same(trees, others) -> None:
    """Asserts that parameters are the same, but for the order of sums."""
    jax.tree.map(
        partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-5), trees, others
    )

"""What the README says is run, or read from the results that it names."""

import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from lab.benchmark.timing import formatted
from lab.history import History
from lab.tutorial.tables import summary

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
RESULTS = ROOT / "experiments" / "results"


@pytest.mark.parametrize(
    "snippet", re.findall(r"```python\n(.*?)```", README, re.DOTALL)
)
def test_the_snippets_run(snippet):
    names = {}
    exec(snippet, names)
    if "rate" in names:
        assert float(names["rate"]) == pytest.approx(0.0055)
    else:
        assert 0 < names["base_lr"] < names["max_lr"] < 2


def test_it_has_exactly_two_commands_each_one_line():
    commands = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    assert [command.count("\n") for command in commands] == [1, 1]
    assert "experiments/fashion.py" in commands[0]
    assert "-m pytest" in commands[1]


def test_it_is_short():
    assert README.count("\n") < 120


def test_the_tutorials_table_is_that_of_the_results_file():
    results = json.loads((RESULTS / "fashion" / "fashion.json").read_text())
    assert results["settings"]["seeds"] == 5
    console = Console(file=io.StringIO(), width=200)
    console.print(summary(History.from_json(results["history"]), epochs=10))
    lines = [line.strip() for line in console.file.getvalue().splitlines()]
    rows = [line for line in lines if re.match(r"\|.* val_", line)]
    assert len(rows) == 4
    for row in rows:
        assert row in README
    for metric in ("val_loss", "val_accuracy"):
        sgd, clr = (
            np.array(results["history"][arm][metric])[:, -1] for arm in ("SGD", "CLR")
        )
        gain = clr - sgd
        assert f"{gain.mean():+.4f} ± {gain.std(ddof=1):.4f} in {metric}" in README


def test_the_comparisons_table_is_that_of_the_results_file():
    results = json.loads(
        (RESULTS / "superconvergence/superconvergence.json").read_text()
    )
    assert results["settings"]["seeds"] == 5
    for run in results["final"]:
        last = np.array(run["val_accuracy"])[:, -1]
        assert f" {last.mean():.4f} ± {last.std(ddof=1):.4f} |" in README, run["arm"]
    for steps in results["tuning_steps"].values():
        assert f"{steps:,}" in README


def test_the_pictures_and_pages_it_links_to_exist():
    links = re.findall(r"\]\((?!http)([^)#]+)", README)
    assert len(links) > 4
    for link in links:
        assert (ROOT / link).is_file(), link


def test_the_speed_table_is_that_of_the_results_file():
    results = json.loads((RESULTS / "benchmark" / "benchmark.json").read_text())
    _, _, section = README.partition("## Speed")
    rows = re.findall(r"^\| (.+?) \|$", section.partition("##")[0], re.MULTILINE)[1:]
    lines = [
        " | ".join(formatted(line)).strip()
        for part in ("main job", "schedule", "imports")
        for line in results[part]
    ]
    assert len(rows) > 10
    for row in rows:
        assert row.strip().removesuffix(" |") in [x.removesuffix(" |") for x in lines]

"""What the README says is run, or read from the results that it names."""

import io
import json
import re
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt
from rich.console import Console

from lab.benchmark.timing import formatted, page
from lab.history import History
from lab.tutorial.tables import summary

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
RESULTS = ROOT / "experiments" / "results"


def test_the_snippets_run_and_print_what_is_shown(capsys):
    first, second = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    (shown,) = re.findall(r"```text\n(.*?)```", README, re.DOTALL)
    exec(first, {})
    assert capsys.readouterr().out == shown
    names = {}
    exec(second, names)
    base_lr, max_lr = names["test"].bounds()
    assert f"bounds {base_lr:.3g} to {max_lr:.3g}" in {
        text.get_text() for text in names["test"].plot().get_legend().get_texts()
    }
    plt.close("all")


def test_it_has_exactly_two_commands_each_one_line():
    commands = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    assert [command.count("\n") for command in commands] == [1, 1]
    assert "experiments/fashion.py" in commands[0]
    assert "-m pytest" in commands[1]


def prose():
    """Returns the README without code, pictures and the addresses of its links."""
    text = re.sub(r"```.*?```", "", README, flags=re.DOTALL)
    text = re.sub(r"!\[[^\]]*\]\([^)]*\)", "", text)
    return re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)


def words(text):
    """Returns the words, without what only draws tables and lists."""
    return [word for word in text.split() if any(map(str.isalnum, word))]


def test_it_is_short():
    assert len(words(prose())) <= 900


def test_no_paragraph_is_a_wall():
    paragraphs = re.split(r"\n\s*\n|\n(?=- )", prose())
    paragraphs = [text for text in paragraphs if not text.startswith("|")]
    assert len(paragraphs) > 20
    for text in paragraphs:
        assert len(words(text)) <= 60, text
        code = re.sub(r"`[^`]*`", "", text)
        assert len(re.findall(r"(?<![\w.])[+-]?\d[\d.,]*", code)) <= 3, text


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
    sgd, clr = (
        np.array(results["history"][arm]["val_accuracy"])[:, -1]
        for arm in ("SGD", "CLR")
    )
    gain = clr - sgd
    assert f"{gain.mean():+.4f} ± {gain.std(ddof=1):.4f}" in README
    assert (gain < 0).all()  # "worse on all of them"
    sums = results["rate_sums"]
    assert f"{sums['CLR']:.1f} against {sums['SGD']:.1f}" in README


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
        for part in ("main job", "schedule")
        for line in results[part]
    ]
    assert len(rows) == 5
    for row in rows:
        assert row.strip() in lines
    assert (RESULTS / "benchmark" / "README.md").read_text() == page(results)

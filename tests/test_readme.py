"""What the README says is run, or read from the results that it names."""

import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from matplotlib import pyplot as plt
from rich.console import Console

import clr_core
from lab.battery import report as battery_report
from lab.benchmark.report import formatted, page
from lab.comparison import report as comparison_report
from lab.comparison.report import (
    LONG_CLR,
    accuracy,
    arms,
    at,
    best_at,
    cycle_ends,
    first_reached,
    mean,
    readme,
    regret,
    snapshot_gain,
)
from lab.comparison.schedules import BASELINE, CLR, FREE, SWEEP
from lab.history import History
from lab.tables import named
from lab.transformer import report as transformer_report
from lab.transformer.protocol import BASELINE as COSINE
from lab.transformer.protocol import CYCLES, WSD
from lab.tutorial.report import summary

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
    return re.findall(r"\S*\w\S*", text)


def test_it_is_short_and_no_paragraph_is_a_wall():
    assert len(words(prose())) <= 900
    for paragraph in re.split(r"\n\s*\n|\n(?=- )", prose()):
        assert paragraph.startswith("|") or len(words(paragraph)) <= 60, paragraph


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


def comparison_phrases(results):
    """Returns what the README says of the comparison's figures, word for word."""
    first, _, last = cycle_ends(results)
    middle, longest = last // 2, results["settings"]["epochs"][-1]
    untuned = [row for row in results["A"] if row["epochs"] == longest]
    triangle, warm_up, one_cycle = (
        mean(accuracy(named(untuned, arm))[:, -1])
        for arm in (
            "CLR triangular, 1 cycle",
            "warm-up, cosine",
            "one-cycle (Optax)",
        )
    )
    tuned = {row["arm"]: mean(accuracy(row)[:, -1]) for row in results["B"]}
    best = max(tuned, key=tuned.__getitem__)
    free = f"{FREE}, tuned"
    ends = {
        (arm, end): mean(at(results, arm, end))
        for arm in (free, CLR, LONG_CLR)
        for end in (first, middle, last)
    }
    top, top_name = best_at(results, arms(results), last)
    easy, hard, _ = results["settings"]["targets"]
    shares = [
        f"{np.median(first_reached(results, arm, target)):.2f}"
        for target in (easy, hard)
        for arm in ("CLR 2 cycles, sweep", "CLR 1 cycle, sweep")
    ]
    steps = {row["arm"]: row["tuning_steps"] for row in results["C"]}
    pairs = np.size(results["E"]["accuracy"]) // results["settings"]["landscape_seeds"]
    hopes = comparison_report.hopes(results).splitlines()[2:]
    lost = sum(line.split("|")[-2].strip() == "no" for line in hopes)
    return [
        f"n={results['settings']['seeds']} paired seeds",
        f"{steps[free]:,} steps of tuning",
        f"{results['A'][0]['tuning_steps']:,} steps of range test",
        f"{triangle:.1f} after {longest} epochs, tuned cosine {tuned[BASELINE]:.1f}",
        f"{tuned[best]:.1f} after {longest}",
        f"cosine ends at {warm_up:.1f}, one-cycle at {one_cycle:.1f}",
        f"{ends[CLR, first]:.1f} after {first}, {ends[CLR, last]:.1f} after {last}",
        f"{ends[free, first]:.1f} after {first}, {ends[free, last]:.1f} after {last}",
        f"leads CLR by {ends[free, first] - ends[CLR, first]:.1f} points after {first} "
        f"epochs, {ends[free, middle] - ends[LONG_CLR, middle]:.1f} after {middle}",
        f"{PEERS[top_name]} by {top - ends[CLR, last]:.1f} after {last}",
        f"{lost} of {len(hopes)} hopes",
        "within 0.3 points of the best,",  # as it was hoped
        f"three ends costs {-snapshot_gain(results):.1f} points",
        f"two cycles reach {easy:g} and {hard:g} % after {shares[0]} and {shares[2]} "
        f"of the budget, one after {shares[1]} and {shares[3]}",
        f"within {regret(results):.2f} points of the best of {pairs} pairs, the "
        f"sweep's within {regret(results, SWEEP):.2f}",
    ]


SWEPT = "warm-up cosine"
PEERS = {"WSD, tuned": "WSD", "one-cycle (Optax), tuned": "one-cycle"}


def transformer_phrases(results):
    """Returns the same of the transformer's."""
    rows = transformer_report.summary(results)
    gains = {
        arm: ", ".join(
            f"{row['less_baseline'].mean:+.3f}" for row in rows if row["arm"] == arm
        )
        for arm in (CYCLES, SWEPT)
    }
    lost = transformer_report.hopes(results).count("it did not come so")
    assert lost == 2  # "both on text"
    ends = {
        row["arm"]: row["bits"].mean()
        for row in rows
        if row["length"] == rows[-1]["length"]
    }
    lengths = ", ".join(f"{length:,}" for length in results["settings"]["lengths"])
    return [
        f"{ends[WSD]:.3f} bits after {rows[-1]['length']:,} steps, tuned cosine "
        f"{ends[COSINE]:.3f}",
        f"cosine with the sweep's peak ends at {gains[SWEPT]} bits after {lengths} "
        "steps",
        f"one run of CLR in cycles at {gains[CYCLES]}",
    ]


def test_when_to_use_it_holds_no_figure_but_those_of_the_results_files():
    results, of_text = (
        json.loads((RESULTS / name / f"{name}.json").read_text())
        for name in ("comparison", "transformer")
    )
    _, _, section = prose().partition("## When to use it")
    section, _, _ = section.partition("\n## ")
    for held in (
        readme(results),
        *comparison_phrases(results),
        *transformer_phrases(of_text),
    ):
        assert held in section
        section = section.replace(held, "")
    assert not re.search(r"\d|TODO", section)
    for name, whole in {
        "comparison": comparison_report.page(results),
        "transformer": transformer_report.page(of_text),
    }.items():
        assert (RESULTS / name / "README.md").read_text() == whole


@pytest.mark.slow  # 168 curves are read again by all rules
def test_the_battery_s_table_is_that_of_its_results_file():
    results = json.loads((RESULTS / "battery" / "battery.json").read_text())
    scored = battery_report.scored(results)
    assert battery_report.readme(scored) in README
    assert battery_report.readme_of_choosing(scored) in README
    usual = battery_report.usual_peaks(scored).markdown().splitlines()
    rows = re.findall(
        r"^\| (?:best peak with|SGD  |momentum|Adam |AdamW  |Lion).*", README, re.M
    )
    assert len(rows) == 6
    assert set(rows) <= set(usual)
    shown = {row.split()[1] for row in rows}
    count = sum(cell["optimizer"] in shown for cell in results["cells"])
    assert f"the best peaks of {count} cells" in README
    page = (RESULTS / "battery" / "README.md").read_text()
    assert page == battery_report.page(results, scored)


def test_its_citation_is_that_of_this_version():
    recipes = (ROOT / "experiments" / "RECIPES.md").read_text()
    _, _, cite = recipes.partition("\n# How to cite\n")
    assert f"version = {{{clr_core.__version__}}}" in cite
    assert cite.count("\n@") == 3
    assert cite.count("{") == cite.count("}")


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

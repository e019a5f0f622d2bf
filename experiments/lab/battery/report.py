"""What the battery's figures come to: every rule scored, tables, hopes, the page."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clr_optax import RangeTest
from lab import tables
from lab.battery.peers import fastai_valley, lightning, torch_lr_finder
from lab.battery.protocol import GOOD, regrets_of
from lab.saved import sweep_from_json
from lab.tables import Table

Floats = NDArray[np.float64]
BAD = 0.1  # regret: a failure


@dataclass(frozen=True)
class Truth:
    """What a cell's trainings at every peak say of a rate."""

    peaks: Floats
    regrets: Floats

    @property
    def best(self) -> float:
        """The best peak of the grid."""
        return float(self.peaks[self.regrets.argmin()])

    @property
    def good(self) -> tuple[float, float]:
        """The lowest and the highest peak that are as good as the best."""
        good = self.peaks[self.regrets <= GOOD]
        return float(good[0]), float(good[-1])

    def regret(self, rate: float) -> float:
        """The regret of a rate: between the peaks on a line, beyond them up to 1."""
        place, grid = np.log2(rate), np.log2(self.peaks)
        beyond = max(grid[0] - place, place - grid[-1], 0.0)
        inside = np.interp(place, grid, self.regrets)
        return float(min(inside + beyond / 3, 1.0))

    def outside(self, rate: float) -> float:
        """By what factor a rate lies outside of the good ones: 1 inside."""
        low, high = self.good
        return max(low / rate, rate / high, 1.0)


@dataclass(frozen=True)
class Answer:
    """What a rule says of a test: a rate, or None where it refuses."""

    cell: dict[str, Any]
    truth: Truth
    rate: float | None
    reservations: tuple[str, ...] = ()

    @property
    def regret(self) -> float:
        """The regret; NaN for none."""
        return np.nan if self.rate is None else self.truth.regret(self.rate)

    @property
    def ratio(self) -> float:
        """The rate by the best peak; NaN for none."""
        return np.nan if self.rate is None else self.rate / self.truth.best


Scored = dict[str, list[Answer]]


def scored(results: dict[str, Any]) -> Scored:
    """The answers of every rule to every test, by the words for the rule."""
    answers: Scored = {}
    for cell in results["cells"]:
        truth = truth_of(cell)
        for words, rate, reservations in answers_of(cell):
            answer = Answer(cell, truth, rate, reservations)
            answers.setdefault(words, []).append(answer)
    return answers


def truth_of(cell: dict[str, Any]) -> Truth:
    """The regrets of a cell's peaks."""
    ends = np.array(cell["ends"], float).mean(axis=1)
    untrained = float(np.mean(cell["untrained"]))
    return Truth(np.array(cell["peaks"]), regrets_of(untrained, ends))


def answers_of(cell: dict[str, Any]) -> list[tuple[str, float | None, tuple[str, ...]]]:
    """What every rule says of each of a cell's tests, and the reservations."""
    found: list[tuple[str, float | None, tuple[str, ...]]] = []
    for steps, test in cell["tests"].items():
        lrs, losses = np.array(test["lrs"]), np.array(test["losses"], float)
        for each in losses:
            curve = RangeTest(lrs, each)
            notes = curve.reservations()
            found.append((f"bounds(), {steps} steps", _max_lr(curve), notes))
            found.append((f"limit, {steps}", _or_none(curve.suggest, "limit"), ()))
            count = int(np.isfinite(each).sum())
            for name, peer in PEERS.items():
                found.append((f"{name}, {steps}", peer(lrs[:count], each[:count]), ()))
        together, mean = RangeTest(lrs, losses), RangeTest(lrs, losses.mean(axis=0))
        found.append((f"bounds(), {len(losses)} x {steps}", _max_lr(together), ()))
        found.append((f"bounds(), mean of {len(losses)} x {steps}", _max_lr(mean), ()))
    sweeps = map(sweep_from_json, cell["sweeps"])
    found += [("lr_sweep", s.bounds()[1], s.reservations()) for s in sweeps]
    return found


PEERS: dict[str, Callable[[Floats, Floats], float | None]] = {
    "fastai valley": fastai_valley,
    "torch-lr-finder": torch_lr_finder,
    "Lightning": lightning,
}


def _max_lr(curve: RangeTest) -> float | None:
    """The max_lr of bounds()."""
    return _or_none(lambda: curve.bounds()[1])


def _or_none(read: Callable[..., float], *arguments: str) -> float | None:
    """What is read, or None where nothing can be."""
    try:
        return read(*arguments)
    except ValueError:
        return None


def of_part(scored: Scored, words: str, part: str) -> list[Answer]:
    """The answers of a rule to the tests of a part."""
    return [answer for answer in scored[words] if answer.cell["part"] == part]


def figures(answers: list[Answer]) -> dict[str, float]:
    """The figures of a rule; all but `refused` are of the tests that it answered."""
    told = [answer for answer in answers if answer.rate is not None]
    regrets = np.array([answer.regret for answer in told])
    ratios = np.array([answer.ratio for answer in told])
    near = [a.truth.outside(a.rate) <= 3 for a in told if a.rate is not None]
    if not told:
        return {"refused": len(answers)}
    return {
        "mean": float(regrets.mean()),
        "most": float(regrets.max()),
        "bad": float((regrets > BAD).mean()),
        "ratio": float(np.median(ratios)),
        "near": float(np.mean(near)),
        "spread": _spread(told),
        "refused": len(answers) - len(told),
    }


def _spread(answers: list[Answer]) -> float:
    """The median over the cells of the highest rate by the lowest, over the seeds."""
    by_cell: dict[tuple[str, str], list[float]] = {}
    for answer in answers:
        if answer.rate is not None:
            key = answer.cell["task"], answer.cell["optimizer"]
            by_cell.setdefault(key, []).append(answer.rate)
    return float(np.median([max(rates) / min(rates) for rates in by_cell.values()]))


def rules(scored: Scored, part: str) -> Table:
    """Every rule on a part, a line each."""
    rows = []
    for words in scored:
        answers = of_part(scored, words, part)
        found = figures(answers)
        if "mean" not in found:
            continue
        rows.append(
            [
                words,
                f"{100 * found['mean']:.1f} %",
                f"{100 * found['bad']:.0f} %",
                f"{100 * found['most']:.0f} %",
                f"{found['ratio']:.2g}",
                f"{100 * found['near']:.0f} %",
                f"{found['spread']:.1f}",
                f"{found['refused']:.0f} of {len(answers)}",
            ]
        )
    headings = [
        *("rule, steps", "mean regret", "over 10 %", "most", "/ best"),
        *("near", "spread", "refused"),
    ]
    caption = (
        f"The {part} part. / best: the median of the rate by the best peak; near: how "
        "many are within 3 times of the peaks with at most 2 % regret; spread: the "
        "highest rate by the lowest over the seeds, the median of the cells."
    )
    return Table(headings, rows, caption)


SHOWN = {
    "bounds(), 100 steps": "`bounds()`, 100 steps",
    "bounds(), 1000 steps": "`bounds()`, 1,000 steps",
    "lr_sweep": "`lr_sweep`",
    "fastai valley, 100": "fastai's valley",
    "torch-lr-finder, 100": "torch-lr-finder",
}


def readme(scored: Scored) -> str:
    """The table for a README: the rules on the reporting part."""
    rows = []
    for words, shown in SHOWN.items():
        found = figures(of_part(scored, words, "reporting"))
        mean, bad = f"{100 * found['mean']:.1f} %", f"{100 * found['bad']:.0f} %"
        rows.append([shown, mean, bad, f"{found['refused']:.0f}"])
    headings = ["28 cells, 3 seeds", "mean regret", "over 10 %", "refused"]
    return Table(headings, rows).markdown()


def readme_of_choosing(scored: Scored) -> str:
    """A sentence for a README: bounds() and the sweep on the choosing part."""
    short, long, swept = (
        100 * figures(of_part(scored, words, "choosing"))["mean"]
        for words in ("bounds(), 100 steps", "bounds(), 1000 steps", "lr_sweep")
    )
    cells = _one_of_each_cell(of_part(scored, "lr_sweep", "choosing"))
    return (
        f"On the {len(cells)} cells that shaped them, some taken up because they fail "
        f"there, the first three rows are {short:.1f}, {long:.1f} and {swept:.1f} %."
    )


def truths(scored: Scored) -> Table:
    """Every cell: its best peak and what bounds() and the sweep say of it."""
    rows = []
    swept, single = scored["lr_sweep"], [w for w in scored if w.endswith("steps")]
    for first in _one_of_each_cell(swept):
        cell, truth = first.cell, first.truth
        low, high = truth.good
        row = [cell["task"], cell["optimizer"], f"{truth.best:.2g}"]
        row.append(f"{low:.2g} to {high:.2g}")
        cosine = np.array(cell["cosine"]["ends"], float)
        row.append(f"{cell['cosine']['peaks'][int(cosine.argmin())]:.2g}")
        row += [_rates_of(scored[words], cell) for words in single]
        rows.append([*row, _rates_of(swept, cell)])
    steps = [words.removeprefix("bounds(), ") for words in single]
    headings = ["task", "optimizer", "best", "within 2 %", "cosine", *steps, "lr_sweep"]
    caption = (
        "best: the best peak of the grid; cosine: that of half a cosine; then the "
        "max_lr of each seed, in units of the best peak, - where it is refused."
    )
    return Table(headings, rows, caption)


def _one_of_each_cell(answers: list[Answer]) -> list[Answer]:
    cells = {(a.cell["task"], a.cell["optimizer"]): a for a in answers}
    return list(cells.values())


def _rates_of(answers: list[Answer], cell: dict[str, Any]) -> str:
    """The rates for a cell, in units of its best peak."""
    ratios = [answer.ratio for answer in answers if answer.cell is cell]
    return " ".join("-" if np.isnan(ratio) else f"{ratio:.2g}" for ratio in ratios)


def ratios(scored: Scored, settings: dict[str, Any]) -> Table:
    """The regret of each ratio of max_lr to base_lr, at the best peak."""
    cells = [answer.cell for answer in _one_of_each_cell(scored["lr_sweep"])]
    ends = [np.array(cell["ratios"], float) for cell in cells]
    starts = [cell["untrained"][0] for cell in cells]
    regrets = np.array(list(map(regrets_of, starts, ends)))
    rows = [
        [name, *(f"{100 * value:.1f} %" for value in values)]
        for name, values in (
            ("mean", regrets.mean(axis=0)),
            ("median", np.median(regrets, axis=0)),
            ("most", regrets.max(axis=0)),
        )
    ]
    headings = ["max_lr / base_lr", *(f"{ratio:g}" for ratio in settings["ratios"])]
    return Table(headings, rows, "Regret by the best of the ratios, all cells, seed 0.")


def usual_peaks(scored: Scored) -> Table:
    """The range of best peaks by optimizer, over all tasks."""
    best: dict[str, list[float]] = {}
    for answer in _one_of_each_cell(scored["lr_sweep"]):
        best.setdefault(answer.cell["optimizer"], []).append(answer.truth.best)
    rows = [
        [name, f"{min(peaks):.2g}", f"{np.median(peaks):.2g}", f"{max(peaks):.2g}"]
        for name, peaks in best.items()
    ]
    return Table(["best peak with", "lowest", "median", "highest"], rows)


def hopes(scored: Scored) -> list[str]:
    """The protocol's goals, one by one, and what came out."""
    lines = []
    for steps, mean, bad in (
        (100, 0.04, 0.08),
        (300, 0.023, 0.06),
        (1000, 0.012, 0.01),
    ):
        words = f"bounds(), {steps} steps"
        if words in scored:
            found = figures(of_part(scored, words, "reporting"))
            lines.append(_hope(f"{words}: mean regret", found.get("mean"), mean))
            lines.append(_hope(f"{words}: over a tenth", found.get("bad"), bad))
    swept = of_part(scored, "lr_sweep", "reporting")
    found = figures(swept)
    lines.append(_hope("lr_sweep: mean regret", found["mean"], 0.01))
    lines.append(_hope("lr_sweep: over a tenth", found["bad"], 0.0))
    lines.append(_hope("lr_sweep: not near", 1 - found["near"], 0.05))
    steps = max(s["steps"] for a in swept for s in a.cell["sweeps"])
    reached = "reached" if steps <= 1500 else "NOT reached"
    lines.append(f"lr_sweep: {steps} steps at most (1500 allowed): {reached}")
    told, rest = warned(scored, "reporting")
    silent = [not note for note in told]
    lines.append(_hope("failures without a reservation", _share(silent), 0.5))
    lines.append(_hope("reservations for nothing", _share(rest), 0.1))
    return lines


def warned(scored: Scored, part: str) -> tuple[list[bool], list[bool]]:
    """Whether each failure, and each other test, carries a reservation on max_lr."""
    told: list[bool] = []
    rest: list[bool] = []
    for words in scored:
        if words.startswith("bounds()") and words.endswith("steps"):
            for answer in of_part(scored, words, part):
                if answer.rate is not None:
                    notes = any(
                        note.startswith("max_lr") for note in answer.reservations
                    )
                    (told if answer.regret > BAD else rest).append(notes)
    return told, rest


def _share(values: list[bool]) -> float | None:
    """How many are true, None of none."""
    return float(np.mean(values)) if values else None


def _hope(words: str, value: float | None, most: float) -> str:
    if value is None:
        return f"{words}: nothing was told"
    verdict = "reached" if value <= most else "NOT reached"
    return f"{words} {100 * value:.1f} % ({100 * most:g} % allowed): {verdict}"


def page(results: dict[str, Any], scored: Scored) -> str:
    """A page in Markdown with all that came out, and the protocol."""
    minutes, settings = results["seconds"] / 60, results["settings"]
    return tables.page(
        "battery",
        "Learning-rate finders, measured",
        results,
        "![Each rule by the best peak](rules.png)",
        "## The rules on the reporting part",
        rules(scored, "reporting").markdown(),
        "The goals of the protocol:",
        "\n".join(f"- {line}" for line in hopes(scored)),
        "## The rules on the choosing part",
        rules(scored, "choosing").markdown(),
        "## The usual peaks",
        usual_peaks(scored).markdown(),
        "## The ratio of the bounds",
        ratios(scored, settings).markdown(),
        "## Every cell",
        truths(scored).markdown(),
        more=f"All of it took {minutes:.0f} minutes: {settings['cells']} cells, "
        f"{settings['seeds']} seeds.",
    )

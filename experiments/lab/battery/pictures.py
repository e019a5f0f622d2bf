"""The picture of battery.py: each rule a row, each test a dot."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from lab.battery.report import Scored, of_part
from lab.saved import save_figure


def draw_all(scored: Scored, out: Path) -> None:
    """Writes rules.png."""
    save_figure(draw_rules(scored, "reporting"), out / "rules.png")


def draw_rules(scored: Scored, part: str) -> Figure:
    """Where each rule's rates lie beside the best peak; the darker, the worse."""
    shown = [words for words in scored if " x " not in words]
    figure = Figure(figsize=(10, 0.42 * len(shown) + 1.4), layout="constrained")
    axes = figure.subplots()
    noise = np.random.default_rng(0)
    for row, words in enumerate(reversed(shown)):
        answers = [a for a in of_part(scored, words, part) if a.rate is not None]
        ratios = np.array([answer.ratio for answer in answers])
        regrets = np.array([answer.regret for answer in answers])
        dots = axes.scatter(
            ratios,
            row + noise.uniform(-0.28, 0.28, len(answers)),
            c=100 * regrets,
            cmap="viridis_r",
            vmin=0,
            vmax=20,
            s=14,
            lw=0,
        )
        axes.plot(
            [np.median(ratios)] * 2, [row - 0.4, row + 0.4], color="black", lw=1.5
        )
    axes.axvspan(1 / 3, 3, color="black", alpha=0.07, lw=0)
    axes.axvline(1, color="black", lw=0.8)
    axes.set_xscale("log")
    axes.set_xlim(1e-3, 1e3)
    axes.set_yticks(range(len(shown)), list(reversed(shown)))
    axes.set_xlabel("rate by the best peak of the cell; the line is the median")
    figure.colorbar(dots, ax=axes, label="regret in percent", extend="max")
    axes.set_title(f"Learning-rate finders, each test of the {part} part a dot")
    return figure

"""The pictures of transformer.py, from its JSON's content alone."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from lab.saved import DASHES, panels, save_figure, sweep_from_json
from lab.transformer.report import by_arm


def draw_all(results: dict[str, Any], out: Path) -> None:
    """Writes sweep.png and loss.png."""
    save_figure(draw_sweeps(results), out / "sweep.png")
    save_figure(draw_loss(results), out / "loss.png")


def draw_sweeps(results: dict[str, Any]) -> Figure:
    """The losses by peak of each seed, with the bounds that were taken."""
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    for seed, sweep in enumerate(map(sweep_from_json, results["sweeps"])):
        known = np.isfinite(sweep.losses)
        axes.plot(sweep.peaks[known], sweep.losses[known], "o-", label=f"seed {seed}")
    axes.axvspan(results["base_lr"], results["peak"], alpha=0.2, lw=0, label="bounds")
    axes.set(xscale="log", xlabel="peak of the cycle", ylabel="bits per character")
    axes.set_title("lr_sweep with AdamW: what a cycle of each peak ends at")
    axes.legend()
    return figure


def draw_loss(results: dict[str, Any]) -> Figure:
    """Loss by steps: in training as a line, on the held-out text as a point."""
    lengths, every = (results["settings"][name] for name in ("lengths", "every"))
    figure, row = panels((11, 4.8), len(lengths), sharey=True)
    ends: list[float] = []
    for axes, length in zip(row, lengths, strict=True):
        for number, (arm, rows) in enumerate(by_arm(results, length).items()):
            losses = np.array([run["losses"] for run in rows], float).mean(axis=0)
            middles = (np.arange(len(losses)) + 0.5) * every
            color, style = f"C{number}", DASHES[rows[0]["role"]]
            axes.plot(middles, losses, style, color=color, lw=1.3, label=arm)
            bits = np.array([run["bits"] for run in rows], float)
            ends += [*bits, *losses]
            place = length * (1.02 + 0.015 * number)
            axes.errorbar(
                place, bits.mean(), bits.std(ddof=1), fmt="o", color=color, ms=4
            )
        axes.set(title=f"{length:,} steps", xlabel="step")
    low = min([end for end in ends if np.isfinite(end)], default=0.0)
    row[0].set_ylabel("bits per character")
    row[0].set_ylim(low - 0.1, low + 2.2)
    n = results["settings"]["seeds"]
    handles, labels = row[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=5, fontsize=9)
    figure.suptitle(
        f"Lines: loss in training. Points: held-out text, mean and sd. n={n} seeds"
    )
    return figure

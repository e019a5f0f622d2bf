"""What comparison.py says of its JSON's content: tables, hopes, page."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from clr_optax import RangeTest
from lab import tables
from lab.comparison.schedules import (
    AVERAGE,
    BASELINE,
    CLR,
    FIXED,
    FREE,
    GROWING,
    LONG,
    ONE_CYCLE,
    QUARTER,
    RANGE_TEST,
    SGDR,
    SWEEP,
    WSD,
    tuned_name,
    wsd_epochs,
)
from lab.history import History
from lab.tables import Table, mean_and_sd, named, paired_difference

Results = dict[str, Any]
Floats = NDArray[np.float64]
LESS = "less cosine"
LONG_CLR = f"{LONG}, {SWEEP}"
RIVALS = [tuned_name(name) for name in (SGDR, FREE, AVERAGE, WSD, FIXED)]  # any time
SHOWN = [CLR, LONG_CLR, *RIVALS, tuned_name(BASELINE), tuned_name(ONE_CYCLE)]
QUOTED = [CLR, LONG_CLR, *RIVALS[1:-1], tuned_name(ONE_CYCLE)]
# the arms of F
HORIZON = [f"CLR {n}, {SWEEP}" for n in ("1 cycle", "2 cycles", "3 cycles")] + [
    f"{GROWING}, {SWEEP}",
    *(tuned_name(name) for name in (BASELINE, ONE_CYCLE, FREE)),
]


def all_tables(results: Results) -> str:
    """The tables, each with what its columns are."""
    tables = schedules, anytime, differences, horizon
    return "\n\n".join(table(results).markdown() for table in tables)


def accuracy(row: Results) -> Floats:
    """Test accuracy in percent, of shape (seeds, epochs); NaN where a run diverged."""
    history = history_of(row)
    known = np.isfinite(history.figures[0]).all(axis=-1)
    return np.where(known, 100 * history.of(row["arm"], "val_accuracy"), np.nan)


def history_of(row: Results) -> History:
    """The figures of the arm of a row."""
    return History.from_json({row["arm"]: row["figures"]})


def schedules(results: Results) -> Table:
    """A and B, a line for each schedule, and what the columns are."""
    *shorter, longest = results["settings"]["epochs"]
    untuned = [*map(str, shorter), f"{longest} epochs"]
    headings = ["schedule", *untuned, LESS, f"tuned, {longest}", LESS, "peak", "steps"]
    baseline = accuracy(named(results["B"], BASELINE))[:, -1]
    lines = []
    for row in results["B"]:
        name, tuned = row["arm"], accuracy(row)[:, -1]
        ends = [accuracy(r)[:, -1] for r in results["A"] if r["arm"] == name]
        scores = results["peaks"][name]
        gain = paired_difference(tuned, baseline).text(2)
        lines.append(
            [
                name,
                *(mean_and_sd(end, 1) for end in ends),
                paired_difference(ends[-1], baseline).text(2),
                mean_and_sd(tuned, 1),
                "" if row["role"] == "baseline" else gain,
                max(scores, key=scores.__getitem__),
                f"{row['tuning_steps']:,}",
            ]
        )
    caption = (
        f"Test accuracy in percent, mean ± sd of n={results['settings']['seeds']} "
        f"paired seeds. First with max_lr of one range test ({bounds(results)}; "
        f"{results['A'][0]['tuning_steps']:,} steps), then with the peak that so many "
        f"steps of tuning chose; {LESS}: mean and 95 % interval of the paired "
        f"difference to {BASELINE}, tuned."
    )
    return Table(headings, lines, caption)


def arms(results: Results) -> list[str]:
    """The arms of C."""
    return list(dict.fromkeys(row["arm"] for row in results["C"]))


def at(results: Results, arm: str, epoch: int) -> Floats:
    """The accuracies in percent of an arm of C when it is read after an epoch."""
    rows = [row for row in results["C"] if row["arm"] == arm]
    branch = [row for row in rows if row["epochs"] == epoch]
    return accuracy((branch or rows)[0])[:, epoch - 1]


def anytime(results: Results) -> Table:
    """C, a line for each arm: what it has when it is read, and what that takes."""
    settings = results["settings"]
    reads, per_epoch = settings["reads"], settings["steps_per_epoch"]
    lines = []
    for arm in arms(results):
        rows = [row for row in results["C"] if row["arm"] == arm]
        epochs = rows[-1]["epochs"]
        if len(rows) > 1:  # one run that is held, and a branch for each reading
            epochs = wsd_epochs(reads)
        means = [mean_and_sd(at(results, arm, end), 1) for end in reads]
        steps = epochs * per_epoch
        lines.append([arm, *means, f"{steps:,}", f"{rows[0]['tuning_steps']:,}"])
    caption = (
        f"Any time: test accuracy in percent after so many epochs of {reads[-1]}, "
        f"mean ± sd of n={settings['seeds']} paired seeds; the steps of a seed for all "
        "readings, and those of the choice of its rates."
    )
    headings = ["schedule", *map(str, reads), "steps", "tuning"]
    return Table(headings, lines, caption)


def readme(results: Results) -> str:
    """What C comes to where a cycle of CLR ends first, and last, of some arms."""
    first, _, last = cycle_ends(results)
    ends = first, last // 2, last
    lines = [
        [arm, *(mean_and_sd(at(results, arm, end), 1) for end in ends)]
        for arm in QUOTED
    ]
    read = [f"{end} epochs" for end in ends]
    return Table(["any time", *read], lines).markdown()


def differences(results: Results) -> Table:
    """C and D, a line for each arm: paired differences, and what snapshots give."""
    ends, baseline = cycle_ends(results), tuned_name(BASELINE)
    lines = []
    for arm in arms(results):
        line = [arm]
        for end in ends:
            here, there = (at(results, name, end) for name in (arm, baseline))
            gain = paired_difference(here, there).text(2)
            line.append("" if arm == baseline else gain)
        if arm in results["D"]:
            together, alone = outputs(results, arm)
            gain = paired_difference(together, alone).text(2)
            line += [mean_and_sd(together, 1), gain]
        lines.append(line + [""] * (len(ends) + 3 - len(line)))
    caption = (
        f"The same, {LESS}: mean and 95 % interval of the paired difference to "
        f"{baseline}; the accuracy of the mean output of the networks at these "
        f"{len(ends)} ends, and its paired difference to that of the last."
    )
    headings = ["schedule", *(f"{end} epochs" for end in ends), "snapshots"]
    return Table([*headings, "less the last"], lines, caption)


def horizon(results: Results) -> Table:
    """F, a line for each arm: how soon it reaches the targets."""
    settings = results["settings"]
    targets = settings["targets"]
    lines = []
    for arm in HORIZON:
        line = [arm]
        for target in targets:
            shares = first_reached(results, arm, target)
            reached = int(np.isfinite(shares).sum())
            median = np.median(shares)
            share = f"{median:.2f}" if np.isfinite(median) else "more than 1"
            line += [share, str(reached)]
        lines.append(line)
    caption = (
        f"The horizon: the share of {settings['reads'][-1]} epochs after which a run "
        f"first reaches a target, read after every epoch, median of "
        f"n={settings['seeds']} seeds, and how many of them reach it."
    )
    headings = [cell for target in targets for cell in (f"{target:g} %", "seeds")]
    return Table(["schedule", *headings], lines, caption)


def first_reached(results: Results, arm: str, target: float) -> Floats:
    """The share of the epochs after which each seed is there; infinity if never."""
    there = accuracy(named(results["C"], arm)) >= target
    epochs = there.shape[1]
    shares: Floats = np.where(
        there.any(axis=1), (there.argmax(axis=1) + 1) / epochs, np.inf
    )
    return shares


def bounds(results: Results, source: str = RANGE_TEST) -> str:
    """The bounds of the range test or of the sweep with which the runs were made."""
    return "{:.3g} to {:.3g}".format(*results["bounds"][source])


def curves(results: Results) -> RangeTest:
    """The range test of all seeds, from its lists."""
    test = results["range_test"]
    return RangeTest(np.array(test["lrs"]), np.array(test["losses"], float))


def cycle_ends(results: Results) -> list[int]:
    """When three cycles end, in epochs."""
    return [results["settings"]["cycle_epochs"] * cycle for cycle in (1, 2, 3)]


def outputs(results: Results, arm: str) -> tuple[Floats, Floats]:
    """An arm's accuracies in percent: of its snapshots together, and of the last."""
    together, alone = (
        100 * np.array(results["D"][arm][name], float) for name in ("together", "alone")
    )
    return together, alone


def diverged(results: Results) -> list[str]:
    """A sentence for each final arm of which a seed's figures stopped being numbers."""
    sentences = []
    for part in "ABC":
        for row in results[part]:
            history = history_of(row)
            for arm, lost in history.diverged().items():
                sentences.append(
                    f"{arm} of {part}, {row['epochs']} epochs, diverged on "
                    f"{len(lost)} of {history.seeds} seeds"
                )
    return sentences


def hopes(results: Results) -> str:
    """A line for each hope: what was hoped, what came out, whether it is reached."""
    first, _, last = cycle_ends(results)
    middle = last // 2
    behind, best = untuned_behind_tuned(results)
    easy = results["settings"]["targets"][0]
    soon, later = (
        mean(first_reached(results, arm, easy), 1.0) for arm in (HORIZON[1], HORIZON[0])
    )
    end = max(mean(at(results, arm, last)) for arm in (CLR, LONG_CLR))
    top, top_name = best_at(results, arms(results), last)
    found = [
        (f"A: CLR without tuning is within 0.3 of {best}", -behind, -0.3),
        lead(results, CLR, first, 0.0),
        lead(results, LONG_CLR, middle, -0.3),
        (
            f"C: CLR by the sweep after {last}, within 0.3 of {top_name}",
            end - top,
            -0.3,
        ),
        ("D: snapshots give CLR in 3 cycles half a point", snapshot_gain(results), 0.5),
        ("E: the range test's regret is below a point", -regret(results), -1.0),
        ("E: the sweep's too", -regret(results, SWEEP), -1.0),
        (f"F: two cycles reach {easy:g} % sooner, share", later - soon, 0.0),
    ]
    lines = []
    for hope, exact, least in found:
        points = round(exact, 2) + 0.0  # as printed, and without a negative zero
        reached = "yes" if points >= least else "no"
        lines.append([hope, f"{points:+.2f}", f"{least:+.2f}", reached])
    return Table(["hope", "points", "at least", "reached"], lines).markdown()


def untuned_behind_tuned(results: Results) -> tuple[float, str]:
    """The points between the best of B and the best CLR of A, and the former's name."""
    tuned = {row["arm"]: mean(accuracy(row)[:, -1]) for row in results["B"]}
    longest = results["settings"]["epochs"][-1]
    untuned = [
        mean(accuracy(row)[:, -1])
        for row in results["A"]
        if (row["role"], row["epochs"]) == ("cyclical", longest)
    ]
    best = max(tuned, key=tuned.__getitem__)
    return tuned[best] - max(untuned), f"the best tuned, {best}"


def best_at(results: Results, names: list[str], epoch: int) -> tuple[float, str]:
    """The highest mean of some arms of C after an epoch, and whose it is."""
    means = {name: mean(at(results, name, epoch)) for name in names}
    best = max(means, key=means.__getitem__)
    return means[best], best


def lead(
    results: Results, arm: str, epoch: int, least: float
) -> tuple[str, float, float]:
    """A hope: an arm's points over the best any-time rival, and the least hoped for."""
    rival, name = best_at(results, RIVALS, epoch)
    hoped = f"within {-least:g} of" if least else "above"
    points = mean(at(results, arm, epoch)) - rival
    return f"C: {arm} after {epoch} epochs, {hoped} {name}", points, least


def snapshot_gain(results: Results) -> float:
    """The points that CLR's snapshots together have over its last one."""
    together, alone = outputs(results, CLR)
    return mean(together) - mean(alone)


def regret(results: Results, source: str = RANGE_TEST) -> float:
    """The points that the landscape's best has over some bounds."""
    return float(landscape(results).max()) - mean(100 * np.array(results["E"][source]))


def landscape(results: Results) -> Floats:
    """The mean accuracies in percent, of shape (peaks, ratios)."""
    means: Floats = 100 * np.array(results["E"]["accuracy"], float).mean(axis=-1)
    return means


def found_in_landscape(results: Results) -> str:
    """The landscape in a sentence."""
    means, settings = landscape(results), results["settings"]
    peak, ratio = np.unravel_index(means.argmax(), means.shape)
    own, quarter, swept = (
        100 * np.mean(results["E"][name]) for name in (RANGE_TEST, QUARTER, SWEEP)
    )
    anew = "{:.3g} to {:.3g}".format(*curves(results).bounds())
    return (
        f"Landscape: best {means.max():.2f} at peak {settings['peaks'][peak]:g}, ratio "
        f"{settings['ratios'][ratio]:g}; {own:.2f} with the range test's "
        f"{bounds(results)} (of the same curves this version reads {anew}), "
        f"{quarter:.2f} with a quarter of its max_lr to max_lr, "
        f"{swept:.2f} with the sweep's {bounds(results, SWEEP)}"
    )


def mean(values: Floats, lost: float = 10.0) -> float:
    """The mean over the seeds; of runs that are lost, that of guessing."""
    return float(np.where(np.isfinite(values), values, lost).mean())


def page(results: Results) -> str:
    """A page in Markdown with all that came out, and the protocol."""
    minutes = sum(results["seconds"].values()) / 60
    return tables.page(
        "comparison",
        "CLR beside what a user would pick instead",
        results,
        "## With and without tuning",
        schedules(results).markdown(),
        "![Accuracy by training steps](accuracy.png)",
        "## Any time",
        anytime(results).markdown(),
        differences(results).markdown(),
        "![Accuracy by epochs](anytime.png)",
        horizon(results).markdown(),
        "## The bounds",
        f"{found_in_landscape(results)}.",
        "![Accuracy by max_lr and its ratio to base_lr](landscape.png)",
        "![The range test](range_test.png)",
        "## What was hoped",
        hopes(results),
        more=f"Training took {minutes:.0f} minutes.",
    )

"""CLR beside what a user would pick: cosine, one-cycle, Schedule-Free, WSD.

    python experiments/comparison.py

follows the protocol in experiments/lab/comparison/protocol.py and leaves
comparison.json, four pictures and a page of them, which ends with the
protocol, in runs/comparison. An hour and a half on two CPU cores; --resume
goes on after a stop.
"""

import argparse
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from lab import devices
from lab.checkpoints import Trainings, earlier_results
from lab.comparison import protocol, report
from lab.comparison.parts import experiment, run_epochs
from lab.comparison.pictures import draw_all
from lab.comparison.protocol import SHORT, Settings, split
from lab.data import load
from lab.program import Experiment, environment
from lab.saved import ResultsFile, as_json, portable, write_json, write_text

FILE = ResultsFile(
    "comparison.json",
    "protocol settings environment data seconds range_test sweeps bounds",
    lambda results: all(part in results for part in "ABCDE"),
)


def train(args: argparse.Namespace, console: Console) -> dict[str, Any]:
    """The protocol, part by part; what is finished is kept whatever happens."""
    settings = SHORT if args.short else Settings()
    devices.use_cpu_cores(runs=settings.seeds)
    data = load(args.data_dir)
    settings = replace(settings, train_images=len(split(data).train.images))
    derived = {"steps_per_epoch": settings.steps_per_epoch}
    shown = as_json(settings) | derived | {"reads": list(settings.reads)}
    earlier = earlier_results(FILE, args.out, {"settings": shown}, resume=args.resume)
    checkpoints, path = args.out / "checkpoints", args.out / FILE.name
    if FILE.finished(earlier):
        console.print(f"The run in {args.out} is finished: there is nothing to resume")
        shutil.rmtree(checkpoints, ignore_errors=True)  # a stop may have spared them
        return earlier
    planned = run_epochs(settings)
    console.print(f"Data: {data.source}\n{planned:,} epochs of single runs in all")
    trainings = Trainings(checkpoints, shown, console, planned)
    results: dict[str, Any] = {
        "protocol": protocol.__doc__,
        "settings": shown,
        "environment": environment(),
        "data": portable(data.source),
        "seconds": {},
    }
    for part in experiment(trainings, settings, data, earlier):
        results |= part | {"seconds": dict(trainings.seconds)}
        write_json(path, results)
    shutil.rmtree(checkpoints, ignore_errors=True)
    return results


def show(results: dict[str, Any], out: Path, console: Console) -> list[str]:
    """Draws and prints; returns a line for each run that diverged."""
    draw_all(results, out)
    write_text(out / "README.md", report.page(results))
    for text in (
        report.all_tables(results),
        report.found_in_landscape(results),
        report.hopes(results),
    ):
        console.print(f"{text}\n")
    console.print(f"README.md, comparison.json and four pictures are in {out}")
    return report.diverged(results)


main = Experiment(
    FILE,
    __doc__,
    train,
    show,
    taste="fewer epochs and seeds, a small landscape",
).main


if __name__ == "__main__":
    sys.exit(main())

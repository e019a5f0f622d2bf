"""CLR beside what a user would pick: cosine, one-cycle, restarts, fixed rates.

    python experiments/comparison.py

follows the protocol in experiments/lab/comparison/protocol.py and leaves
comparison.json, four pictures and a page of them, which ends with the
protocol, in runs/comparison. More than an hour on two CPU cores; --resume goes
on after a stop.
"""

import argparse
import json
import shutil
import sys
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from lab import LabError, devices
from lab.checkpoints import Trainings, found
from lab.comparison import protocol, report
from lab.comparison.parts import experiment, run_epochs
from lab.comparison.pictures import draw_all
from lab.comparison.protocol import SHORT, Settings, split
from lab.data import load
from lab.program import (
    Options,
    environment,
    exit_code,
    open_folder,
    redraw,
)
from lab.saved import ResultsFile, portable, write_json, write_text

FILE = ResultsFile(
    "comparison.json",
    "protocol settings environment data seconds range_test sweeps bounds",
    lambda results: all(part in results for part in "ABCDE"),
)


def main(argv: list[str] | None = None) -> int:
    """Runs the program; returns its exit code."""
    args = parse(argv)
    interrupted = "interrupted: what is finished is kept; --resume goes on"
    return exit_code("comparison.py", partial(run, args), interrupted=interrupted)


def run(args: argparse.Namespace, console: Console) -> int:
    """The protocol, part by part; what is finished is kept whatever happens."""
    if args.redraw:
        return redraw(FILE, args.out, finish, console)
    open_folder(args.out)
    settings = SHORT if args.short else Settings()
    devices.use_cpu_cores(runs=settings.seeds)
    data = load(args.data_dir)
    settings = replace(settings, train_images=len(split(data).train.images))
    as_json = json.loads(json.dumps(asdict(settings)))
    derived = {"steps_per_epoch": settings.steps_per_epoch, "reads": settings.reads}
    shown = as_json | json.loads(json.dumps(derived))
    earlier = found(FILE, args.out, {"settings": shown}, resume=args.resume)
    checkpoints, path = args.out / "checkpoints", args.out / FILE.name
    if FILE.finished(earlier):
        console.print(f"The run in {args.out} is finished: there is nothing to resume")
        shutil.rmtree(checkpoints, ignore_errors=True)  # a stop may have spared them
        return finish(earlier, args.out, console)
    planned = run_epochs(settings)
    console.print(f"Data: {data.source}\n{planned:,} epochs of single runs in all")
    trainings = Trainings(checkpoints, as_json, console, planned)
    results: dict[str, Any] = {
        "protocol": protocol.__doc__,
        "settings": shown,
        "environment": environment(),
        "data": portable(data.source),
        "seconds": {},
    }
    try:
        for part in experiment(trainings, settings, data, earlier):
            results |= part | {"seconds": dict(trainings.seconds)}
            write_json(path, results)
    finally:
        if "range_test" in results:  # until then the file is an earlier run's
            write_json(path, results | {"seconds": dict(trainings.seconds)})
    shutil.rmtree(checkpoints)
    return finish(results, args.out, console)


def finish(results: dict[str, Any], out: Path, console: Console) -> int:
    """Draws and prints; 3 if an arm of the final runs diverged."""
    if not FILE.finished(results):
        raise LabError(f"the run in {out} is not finished: go on with --resume")
    draw_all(results, out)
    write_text(out / "README.md", report.page(results))
    for text in (
        report.all_tables(results),
        report.found_in_landscape(results),
        report.hopes(results),
    ):
        console.print(f"{text}\n")
    console.print(f"README.md, comparison.json and four pictures are in {out}")
    diverged = report.diverged(results)
    for line in diverged:
        console.print(line)
    return 3 if diverged else 0


def parse(argv: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = Options(
        __doc__,
        """examples:
  comparison.py             everything, as the protocol has it
  comparison.py --resume    go on after the last epoch of a stopped run
  comparison.py --redraw    page and pictures again, from comparison.json
  comparison.py --short     a taste: fewer epochs and seeds, a small landscape
exit codes: 0 done, 1 error, 2 wrong arguments, 3 an arm diverged, 130 Ctrl-C""",
    )
    parser.add_folders(Path("runs/comparison"))
    parser.add_resuming()
    parser.add_argument(
        "--short", action="store_true", help="a taste of every part, in minutes"
    )
    return parser.read(argv)


if __name__ == "__main__":
    sys.exit(main())

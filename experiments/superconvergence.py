"""What cyclical rates can do: CLR with bounds from a range test against fixed rates.

    python experiments/superconvergence.py

trains the tutorial's network with the tutorial's SGD, with the best fixed rate, and
with CLR in fewer epochs, and leaves superconvergence.json and two pictures in
runs/superconvergence. About 12 minutes on two CPU cores.
"""

import argparse
import json
import shutil
import sys
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from lab import LabError
from lab.comparison.protocol import split
from lab.data import load
from lab.devices import use_cpu_cores
from lab.program import (
    Options,
    environment,
    exit_code,
    open_folder,
    portable,
    positive,
    read_json,
    write_json,
)
from lab.stages import Stages
from lab.superconvergence import protocol
from lab.superconvergence.pictures import draw_all
from lab.superconvergence.settings import MOMENTA, Settings
from lab.superconvergence.tables import diverged, print_tables
from lab.unfinished import not_finished


def main(argv: list[str] | None = None) -> int:
    """Runs the program; returns its exit code."""
    args = parse(argv)
    interrupted = "interrupted before any training"
    return exit_code("superconvergence.py", partial(run, args), interrupted=interrupted)


def run(args: argparse.Namespace, console: Console) -> int:
    """The experiment; what is finished is kept whatever happens."""
    open_folder(args.out)
    path, checkpoints = args.out / "superconvergence.json", args.out / "checkpoints"
    if args.redraw:
        return finish(read_results(path), args.out, console)
    if checkpoints.exists() and not args.resume:
        raise not_finished(args.out)
    use_cpu_cores(runs=len(MOMENTA) * args.seeds)
    data = load(args.data_dir)
    console.print(f"Data: {data.source}")
    settings = Settings(
        epochs=tuple(sorted(set(args.epochs))),
        trial_epochs=args.trial_epochs,
        seeds=args.seeds,
        batch_size=args.batch_size,
        range_steps=args.range_steps,
        train_images=len(split(data).train.images),
    )
    settings.check()
    as_json = json.loads(json.dumps(asdict(settings)))
    results: dict[str, Any] = {
        "protocol": protocol.__doc__,
        "settings": as_json | {"steps_per_epoch": settings.steps_per_epoch},
        "tuning_steps": settings.tuning_steps,
        "environment": environment(),
        "data": portable(data.source),
    }
    explored: dict[str, Any] = {}
    seconds: dict[str, float] = {}
    if args.resume and path.exists():
        earlier = read_json(path)
        if earlier["settings"] == results["settings"]:
            seconds = earlier["seconds"]
            if "range_test_cost" in earlier:
                explored = {k: earlier[k] for k in ("range_test", "range_test_cost")}
    stages = Stages(checkpoints, as_json, settings.batch_size, console, seconds)
    results |= explored
    try:
        for part in protocol.experiment(settings, data, explored, stages):
            results |= part
    except KeyboardInterrupt:
        console.print("Interrupted: what is finished is kept; go on: --resume")
        return 130
    finally:
        write_json(path, results | {"seconds": stages.seconds})
    shutil.rmtree(checkpoints)
    return finish(results, args.out, console)


def finish(results: dict[str, Any], out: Path, console: Console) -> int:
    """Draws and prints; 3 if an arm of the final runs diverged."""
    draw_all(results, out)
    print_tables(results, console)
    console.print(f"Wrote superconvergence.json and two pictures to {out}")
    lines = diverged(results)
    for line in lines:
        console.print(line)
    return 3 if lines else 0


def read_results(path: Path) -> dict[str, Any]:
    """The content of superconvergence.json, read again."""
    results = read_json(path)
    final = results.get("final", [])
    if len(final) < 2 * len(MOMENTA):
        raise LabError(f"{path} is of a run that is not finished: go on with --resume")
    if not all("role" in run for run in final):
        raise LabError(f"{path} is of an earlier version: train again")
    return results


def parse(argv: list[str] | None) -> argparse.Namespace:
    """The command line."""
    default = Settings()
    parser = Options(
        "".join([*__doc__.partition("trains the")[1:], "\n", protocol.__doc__]),
        """examples:
  superconvergence.py                 everything, as described above
  superconvergence.py --resume        go on after the last epoch of a stopped run
  superconvergence.py --redraw        table and pictures again, from the JSON alone
  superconvergence.py --epochs 1 2 --trial-epochs 1 --seeds 2     a taste
exit codes: 0 done, 1 an error, 2 wrong arguments, 3 an arm diverged, 130 Ctrl-C""",
    )
    shown = " ".join(map(str, default.epochs))
    parser.add_argument(
        "--epochs",
        type=positive,
        nargs="+",
        default=default.epochs,
        metavar="N",
        help="lengths of CLR's final runs; the longest is that of the fixed rates "
        f"(default {shown})",
    )
    for name, value, what in (
        (
            "trial-epochs",
            default.trial_epochs,
            "the length of the runs that choose CLR's shape",
        ),
        (
            "seeds",
            default.seeds,
            "how often the range tests and final runs are repeated, 2 or more",
        ),
        ("batch-size", default.batch_size, "images a step"),
        ("range-steps", default.range_steps, "steps of each range test, 20 or more"),
    ):
        parser.add_number(f"--{name}", value, f"{what} (default {value})")
    parser.add_folders(Path("runs/superconvergence"))
    parser.add_resuming()
    args = parser.read(argv)
    for name, least in {"seeds": 2, "range_steps": 20}.items():
        if getattr(args, name) < least:
            parser.error(f"--{name.replace('_', '-')} must be {least} or more")
    return args


if __name__ == "__main__":
    sys.exit(main())

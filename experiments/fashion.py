"""CLR against a fixed rate on Fashion-MNIST: TensorFlow Addons' tutorial in JAX.

    python experiments/fashion.py

trains the tutorial's network twice for 10 epochs, with SGD at 0.01 and with
SGD on a triangular2 schedule between 0.0001 and 0.01, from the same weights on
the same batches, and prints each epoch beside the figures that the tutorial
published. It leaves five pictures and fashion.json in runs/fashion.
"""

import argparse
import re
import sys
import time
from dataclasses import asdict, fields
from functools import partial
from pathlib import Path
from typing import Any

import jax
from rich.console import Console

from lab import devices, network
from lab.checkpoints import Checkpoints, earlier_results
from lab.data import load
from lab.history import History
from lab.program import Options, environment, exit_code, open_folder, positive
from lab.saved import ResultsFile, portable, write_json
from lab.tables import Progress
from lab.training import Runs
from lab.tutorial import report
from lab.tutorial.pictures import draw_all
from lab.tutorial.settings import PUBLISHED, Settings

FILE = ResultsFile(
    "fashion.json",
    "settings arms rate_sums environment data seconds history published",
    lambda results: (
        History.from_json(results["history"]).epochs >= results["settings"]["epochs"]
    ),
)


def main(argv: list[str] | None = None) -> int:
    """Runs the program; returns its exit code."""
    args = parse(argv)
    return exit_code("fashion.py", partial(run, args), interrupted="interrupted")


def run(args: argparse.Namespace, console: Console) -> int:
    """Data, training, table, pictures; what is finished is kept whatever happens."""
    if args.redraw:
        results = FILE.read(args.out)
        open_folder(args.out)
        return finish(results, args, console)
    open_folder(args.out)
    if args.coordinator is None:
        devices.use_cpu_cores(runs=2 * args.seeds)
    else:
        devices.connect(args.coordinator, args.num_processes, args.process_id)
    speaks = jax.process_index() == 0
    console.quiet = not speaks

    started = time.perf_counter()
    data = load(args.data_dir)
    seconds: dict[str, Any] = {"data": time.perf_counter() - started, "epochs": []}
    console.print(f"Data: {data.source}")
    settings = Settings(
        args.epochs, args.batch_size, args.seeds, len(data.train.images)
    )
    training = network.training(
        settings.arms,
        data,
        seeds=settings.seeds,
        epochs=settings.epochs,
        batch_size=settings.batch_size,
    )
    before = earlier_results(FILE, args.out, {}, resume=args.resume)
    checkpoints = Checkpoints(args.out / "checkpoints", settings.trajectory)
    runs = training.start()
    if earlier := checkpoints.latest(runs, settings.epochs):
        runs = earlier
        known = before.get("seconds", {"epochs": []})
        seconds = known | {
            "data": seconds["data"],
            "epochs": known["epochs"][: runs.done],
        }
        console.print(f"Resuming after epoch {runs.done}")
    elif args.resume:
        console.print(f"Nothing to resume in {args.out}: starting at epoch 1")

    def write(runs: Runs) -> dict[str, Any]:
        history = network.history(training, runs)
        results = collect(settings, data.source, history, seconds)
        if speaks:
            write_json(args.out / FILE.name, results)
        return results

    code = 0
    try:
        console.print(report.headings())
        with Progress(console, "epoch", settings.epochs, runs.done) as progress:
            for stretch in training.go_on(runs):
                runs = stretch.runs
                history = network.history(training, runs)
                console.print(report.last_epoch(history, settings.epochs))
                progress.add(1, stretch.seconds)
                seconds["compile"] = stretch.compile_seconds
                seconds["epochs"].append(stretch.seconds)
                write(runs)
                checkpoints.save(runs)
    except KeyboardInterrupt:
        if not runs.done:
            raise
        console.print(f"Interrupted after epoch {runs.done}; --resume goes on")
        code = 130
    results = write(runs)
    if speaks:
        diverged = finish(results, args, console)
        code = code or diverged
    return code


def collect(
    settings: Settings, source: str, history: History, seconds: dict[str, Any]
) -> dict[str, Any]:
    """The JSON's content: with it, pictures and table need no training."""
    counted = {"steps_per_epoch": settings.steps_per_epoch}
    steps = history.epochs * settings.updates_per_epoch
    return {
        "settings": asdict(settings) | counted,
        "arms": settings.trajectory["arms"],
        "rate_sums": settings.rate_sums(steps),
        "environment": environment(),
        "data": portable(source),
        "seconds": seconds,
        "history": history.to_json(),
        "published": PUBLISHED,
    }


def finish(results: dict[str, Any], args: argparse.Namespace, console: Console) -> int:
    """Draws and prints; 3 if an arm diverged."""
    out, saved = args.out, results["settings"]
    settings = Settings(**{f.name: saved[f.name] for f in fields(Settings)})
    history = History.from_json(results["history"])
    draw_all(results, settings.arms["CLR"].rate, out)
    console.print(report.summary(history, settings.epochs))
    if settings.seeds > 1:
        console.print(report.paired(history, settings))
    console.print(f"fashion.json and five pictures are in {out}")
    if args.tensorboard:
        report.write_tensorboard(history, settings, out / "tensorboard")
    diverged = report.diverged(history)
    for line in diverged:
        console.print(line)
    return 3 if diverged else 0


def parse(argv: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = Options(
        __doc__,
        """examples:
  fashion.py                     the tutorial: both arms, 10 epochs
  fashion.py --seeds 5           five paired repetitions: mean and deviation
  fashion.py --resume            go on after the last epoch of a stopped run
  fashion.py --redraw            pictures and table again, from fashion.json
  fashion.py --data-dir ~/idx    the four IDX files, .gz or unpacked, are there
exit codes: 0 done, 1 error, 2 wrong arguments, 3 an arm diverged, 130 Ctrl-C""",
    )
    parser.add_number("--epochs", 10, "default 10")
    parser.add_number("--batch-size", 64, "default 64")
    parser.add_number("--seeds", 1, "seeds, the same for both arms (default 1)")
    parser.add_folders(Path("runs/fashion"))
    parser.add_resuming()
    parser.add_argument(
        "--tensorboard", action="store_true", help="also write scalars for TensorBoard"
    )
    several = parser.add_argument_group("several processes")
    several.add_argument(
        "--coordinator",
        metavar="HOST:PORT",
        help="process 0's address; auto: as Slurm, Open MPI, Kubernetes or a TPU say",
    )
    several.add_argument(
        "--num-processes", type=positive, metavar="N", help="how many processes"
    )
    several.add_argument(
        "--process-id", type=int, metavar="I", help="which this is, from 0"
    )
    args = parser.read(argv)
    numbered = args.num_processes is not None and args.process_id is not None
    named = args.coordinator not in (None, "auto")
    if named != numbered or (args.num_processes is None) != (args.process_id is None):
        parser.error(
            "--coordinator HOST:PORT, --num-processes and --process-id go together"
        )
    if named and not re.fullmatch(r".+:[0-9]+", args.coordinator):
        parser.error(f"--coordinator needs HOST:PORT, got {args.coordinator}")
    if numbered and not 0 <= args.process_id < args.num_processes:
        last = args.num_processes - 1
        parser.error(f"--process-id must be in 0..{last}, got {args.process_id}")
    return args


if __name__ == "__main__":
    sys.exit(main())

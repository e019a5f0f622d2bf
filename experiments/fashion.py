"""CLR against a fixed rate on Fashion-MNIST: the TensorFlow Addons tutorial in JAX.

    python experiments/fashion.py

trains the tutorial's network twice for 10 epochs, with SGD at 0.01 and with SGD on a
triangular2 schedule between 0.0001 and 0.01, from the same weights on the same batches,
and prints each epoch beside the figures that the tutorial published. It leaves five
pictures and fashion.json in runs/fashion.
"""

import argparse
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax
import processes
import report
from checkpoints import CheckpointError, Checkpoints
from command_line import add_common, parsed, positive
from dataset import DataError, FashionMNIST
from plots import draw_all
from results import environment, open_folder, portable, read_json, write_json
from rich.console import Console
from training import METRICS, initial_state, train
from tutorial import PUBLISHED, Settings


def main(argv: list[str] | None = None) -> int:
    """Runs the program; returns its exit code."""
    console = Console(highlight=False, soft_wrap=True)
    args = parse(argv)
    try:
        return run(args, console)
    except (CheckpointError, DataError, OSError, jax.errors.JaxRuntimeError) as error:
        print(f"fashion.py: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("fashion.py: interrupted before the first epoch", file=sys.stderr)
        return 130


def run(args: argparse.Namespace, console: Console) -> int:
    """Data, training, table, pictures; what is finished is kept whatever happens."""
    open_folder(args.out)
    if args.redraw:
        return finish(read_json(args.out / "fashion.json"), args.out, console)
    if args.coordinator is None:
        processes.use_cpu_cores(runs=2 * args.seeds)
    else:
        processes.connect(args.coordinator, args.num_processes, args.process_id)
    console.quiet = jax.process_index() > 0

    started = time.perf_counter()
    data = processes.load(args.data_dir)
    seconds: dict[str, Any] = {"data": time.perf_counter() - started, "epochs": []}
    settings = Settings(
        args.epochs, args.batch_size, args.seeds, len(data.train_images)
    )
    optimizers = {arm: optax.sgd(schedule) for arm, schedule in settings.arms.items()}
    checkpoints = Checkpoints(args.out / "checkpoints", settings.trajectory)
    history = np.zeros((len(optimizers), settings.seeds, 0, len(METRICS)), np.float32)
    resume = None
    if args.resume:
        like = initial_state(optimizers, settings.seeds)
        if found := checkpoints.latest(like, settings.epochs):
            *resume, history = found
            console.print(f"Resuming after epoch {resume[0]}")
        else:
            console.print(f"Nothing to resume in {args.out}: starting at epoch 1")
    else:
        checkpoints.start_anew(settings.epochs)

    code = 0
    try:
        with report.Progress(console, settings.epochs, history.shape[2]) as progress:
            for epoch in train(
                optimizers,
                data,
                seeds=settings.seeds,
                epochs=settings.epochs,
                batch_size=settings.batch_size,
                resume=resume,
            ):
                history = np.append(history, epoch.figures, axis=2)
                progress.show(epoch)
                seconds.setdefault("compile", epoch.compile_seconds)
                seconds["epochs"].append(epoch.seconds)
                checkpoints.save(epoch.number, epoch.state, history)
    except KeyboardInterrupt:
        console.print(f"Interrupted after epoch {history.shape[2]}; --resume goes on")
        code = 130
    finally:
        if jax.process_index() == 0 and history.shape[2]:
            results = collect(settings, data, history, seconds)
            write_json(args.out / "fashion.json", results)
    if jax.process_index() == 0 and history.shape[2]:
        if args.tensorboard:
            report.write_tensorboard(results, settings, args.out / "tensorboard")
        diverged = finish(results, args.out, console)
        code = code or diverged
    return code


def collect(
    settings: Settings, data: FashionMNIST, history: np.ndarray, seconds: dict[str, Any]
) -> dict[str, Any]:
    """The JSON's content: with it, pictures and table need no training."""
    by_arm = {
        arm: {metric: figures[..., k].tolist() for k, metric in enumerate(METRICS)}
        for arm, figures in zip(settings.arms, history, strict=True)
    }
    counted = {"steps_per_epoch": settings.steps_per_epoch}
    steps = history.shape[2] * settings.updates_per_epoch
    return {
        "settings": asdict(settings) | counted,
        "arms": settings.trajectory["arms"],
        "rate_sums": report.rate_sums(settings.arms, steps),
        "environment": environment(),
        "data": portable(data.source),
        "seconds": seconds,
        "history": by_arm,
        "published": PUBLISHED,
    }


def finish(results: dict[str, Any], out: Path, console: Console) -> int:
    """Draws and prints; 3 if an arm diverged."""
    names = ("epochs", "batch_size", "seeds", "train_images")
    settings = Settings(**{name: results["settings"][name] for name in names})
    draw_all(results, settings.arms["CLR"], out)
    console.print(report.summary(results))
    if settings.seeds > 1:
        console.print(report.paired(results))
    console.print(f"fashion.json and five pictures are in {out}")
    diverged = report.diverged(results)
    for line in diverged:
        console.print(line)
    return 3 if diverged else 0


def parse(argv: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n\n")[0],
        epilog="""examples:
  fashion.py                     the tutorial: both arms, 10 epochs
  fashion.py --seeds 5           five paired repetitions: mean, standard deviation
  fashion.py --resume            go on after the last epoch of a run that was stopped
  fashion.py --redraw            pictures and table again, from fashion.json alone
  fashion.py --data-dir ~/idx    the four IDX files, .gz or unpacked, are there
exit codes: 0 done, 1 an error, 2 wrong arguments, 3 an arm diverged, 130 Ctrl-C""",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    number = {"type": positive, "metavar": "N"}
    parser.add_argument("--epochs", default=10, help="default 10", **number)
    parser.add_argument("--batch-size", default=64, help="default 64", **number)
    parser.add_argument(
        "--seeds",
        default=1,
        help="repeat with N seeds, the same for both arms",
        **number,
    )
    add_common(parser, Path("runs/fashion"))
    parser.add_argument(
        "--tensorboard", action="store_true", help="also write scalars for TensorBoard"
    )
    several = parser.add_argument_group("several processes")
    several.add_argument(
        "--coordinator",
        metavar="HOST:PORT",
        help="process 0's address; auto: as Slurm, Open MPI, Kubernetes or a TPU say",
    )
    several.add_argument("--num-processes", help="how many processes", **number)
    several.add_argument(
        "--process-id", type=int, metavar="I", help="which this is, from 0"
    )
    args = parsed(parser, argv)
    numbered = args.num_processes is not None and args.process_id is not None
    told = args.coordinator not in (None, "auto")
    if told != numbered or (args.num_processes is None) != (args.process_id is None):
        parser.error(
            "--coordinator HOST:PORT, --num-processes and --process-id go together"
        )
    if numbered and not 0 <= args.process_id < args.num_processes:
        last = args.num_processes - 1
        parser.error(f"--process-id must be in 0..{last}, got {args.process_id}")
    return args


if __name__ == "__main__":
    sys.exit(main())

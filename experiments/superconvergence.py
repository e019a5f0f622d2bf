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
from pathlib import Path
from typing import Any

import processes
import protocol
from checkpoints import CheckpointError
from command_line import add_common, parsed, positive
from dataset import DataError
from protocol import MOMENTA, ProtocolError, Settings, Trainer, experiment, split
from results import environment, open_folder, portable, read_json, write_json
from rich.console import Console
from superconvergence_report import diverged, draw_all, print_tables


def main(argv: list[str] | None = None) -> int:
    """Runs the program; returns its exit code."""
    console = Console(highlight=False, soft_wrap=True)
    args = parse(argv)
    try:
        open_folder(args.out)
        path = args.out / "superconvergence.json"
        if args.redraw:
            return finish(read_results(path), args.out, console)
        return run(args, path, console)
    except (CheckpointError, DataError, OSError, ProtocolError) as error:
        print(f"superconvergence.py: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("superconvergence.py: interrupted before any training", file=sys.stderr)
        return 130


def run(args: argparse.Namespace, path: Path, console: Console) -> int:
    """The experiment; what is finished is kept whatever happens."""
    checkpoints = args.out / "checkpoints"
    if checkpoints.exists() and not args.resume:
        raise CheckpointError(
            f"{args.out} holds a run that is not finished: continue it with --resume, "
            "or choose another --out."
        )
    processes.use_cpu_cores(runs=len(MOMENTA) * args.seeds)
    data = processes.load(args.data_dir)
    settings = Settings(
        epochs=tuple(sorted(set(args.epochs))),
        trial_epochs=args.trial_epochs,
        seeds=args.seeds,
        batch_size=args.batch_size,
        range_steps=args.range_steps,
        train_images=len(split(data).train_images),
    )
    settings.check()
    trainer = Trainer(settings, checkpoints, console)
    results: dict[str, Any] = {
        "protocol": protocol.__doc__,
        "settings": asdict(settings) | {"steps_per_epoch": settings.steps_per_epoch},
        "tuning_steps": settings.tuning_steps,
        "environment": environment(),
        "data": portable(data.source),
        "seconds": trainer.seconds,
    }
    if args.resume and path.exists():
        earlier = json.loads(path.read_text())
        if earlier["settings"] == json.loads(json.dumps(results["settings"])):
            for name in ("range_test", "range_test_cost"):
                results |= {name: earlier[name]} if name in earlier else {}
            trainer.seconds |= earlier["seconds"]
    try:
        experiment(settings, data, results, trainer)
    except KeyboardInterrupt:
        console.print("Interrupted: what is finished is kept; go on: --resume")
        return 130
    finally:
        write_json(path, results)
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
    if len(results.get("final", [])) < 2 * len(MOMENTA):
        raise OSError(f"{path} is of a run that is not finished: go on with --resume")
    return results


def parse(argv: list[str] | None) -> argparse.Namespace:
    """The command line."""
    default = Settings()
    parser = argparse.ArgumentParser(
        description="".join(
            [*__doc__.partition("trains the")[1:], "\n", protocol.__doc__]
        ),
        epilog="""examples:
  superconvergence.py                 everything, as described above
  superconvergence.py --resume        go on after the last epoch of a stopped run
  superconvergence.py --redraw        table and pictures again, from the JSON alone
  superconvergence.py --epochs 1 2 --trial-epochs 1 --seeds 2     a taste
exit codes: 0 done, 1 an error, 2 wrong arguments, 3 an arm diverged, 130 Ctrl-C""",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    for name, help_text in {
        "epochs": "lengths of CLR's final runs; the longest is that of the fixed rates",
        "trial-epochs": "the length of the runs that choose CLR's shape",
        "seeds": "how often the range tests and final runs are repeated, 2 or more",
        "batch-size": "images a step",
        "range-steps": "steps of each range test, 20 or more",
    }.items():
        value = getattr(default, name.replace("-", "_"))
        several = {"nargs": "+"} if name == "epochs" else {}
        shown = " ".join(map(str, value)) if several else value
        parser.add_argument(
            f"--{name}",
            type=positive,
            default=value,
            metavar="N",
            help=f"{help_text} (default {shown})",
            **several,
        )
    add_common(parser, Path("runs/superconvergence"))
    args = parsed(parser, argv)
    for name, least in {"seeds": 2, "range_steps": 20}.items():
        if getattr(args, name) < least:
            parser.error(f"--{name.replace('_', '-')} must be {least} or more")
    return args


if __name__ == "__main__":
    sys.exit(main())

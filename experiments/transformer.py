"""CLR with AdamW on a small transformer, beside what a user would pick instead.

    python experiments/transformer.py

trains a character-level transformer of half a million parameters on a text
that comes with Python, follows the protocol in
experiments/lab/transformer/protocol.py and leaves transformer.json, two
pictures and a page of them, which ends with the protocol, in runs/transformer.
About half an hour on two CPU cores; --resume goes on after a stop.
"""

import argparse
import json
import shutil
import sys
import time
from dataclasses import asdict
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console

from lab import LabError, devices, program
from lab.checkpoints import Trainings, found
from lab.saved import ResultsFile, write_json, write_text
from lab.transformer import protocol, report
from lab.transformer.parts import experiment
from lab.transformer.pictures import draw_all
from lab.transformer.protocol import SHORT, Settings
from lab.transformer.text import read_text

FILE = ResultsFile(
    "transformer.json",
    "protocol settings text environment sweeps base_lr peak runs seconds",
    lambda results: "finished" in results,
)


def main(argv: list[str] | None = None) -> int:
    """Runs the program; returns its exit code."""
    args = parse(argv)
    interrupted = "interrupted: what is finished is kept; --resume goes on"
    work = partial(run, args)
    return program.exit_code("transformer.py", work, interrupted=interrupted)


def run(args: argparse.Namespace, console: Console) -> int:
    """The protocol, step by step; what is finished is kept whatever happens."""
    if args.redraw:
        return program.redraw(FILE, args.out, finish, console)
    program.open_folder(args.out)
    settings, text = SHORT if args.short else Settings(), read_text()
    depends_on = {
        "settings": json.loads(json.dumps(asdict(settings))) | {"runs": settings.runs},
        "text": {"sha256": text.sha256, "vocabulary": text.vocabulary},
    }
    devices.use_cpu_cores(runs=settings.runs)
    earlier = found(FILE, args.out, depends_on, resume=args.resume)
    environment = program.environment() | {"grain": version("grain")}
    results = {"protocol": protocol.__doc__, **depends_on, "environment": environment}
    trainings = Trainings(
        args.out / "checkpoints", depends_on, console, settings.stretches
    )
    started, before = time.perf_counter(), earlier.get("seconds", 0.0)
    for part in experiment(trainings, settings, text, earlier):
        seconds = before + time.perf_counter() - started
        results = results | part | {"seconds": seconds}
        write_json(args.out / FILE.name, results)
    shutil.rmtree(args.out / "checkpoints", ignore_errors=True)
    return finish(results, args.out, console)


def finish(results: dict[str, Any], out: Path, console: Console) -> int:
    """Draws and prints; 3 if a final run diverged."""
    if not FILE.finished(results):
        raise LabError(f"the run in {out} is not finished: go on with --resume")
    draw_all(results, out)
    write_text(out / "README.md", report.page(results))
    console.print(f"{report.readme(results)}\n\n{report.choices(results)}")
    console.print(f"README.md, transformer.json and two pictures are in {out}")
    diverged = report.diverged(results)
    for line in diverged:
        console.print(line)
    return 3 if diverged else 0


def parse(argv: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = program.Options(
        __doc__,
        """examples:
  transformer.py             everything, as the protocol has it
  transformer.py --resume    go on after the last finished runs
  transformer.py --redraw    page and pictures again, from transformer.json
  transformer.py --short     a taste: a small network and few steps
exit codes: 0 done, 1 error, 2 wrong arguments, 3 a run diverged, 130 Ctrl-C""",
    )
    parser.add_out(Path("runs/transformer"))
    parser.add_resuming()
    parser.add_argument(
        "--short", action="store_true", help="a taste of everything, in a minute"
    )
    return parser.read(argv)


if __name__ == "__main__":
    sys.exit(main())

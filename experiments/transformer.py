"""CLR with AdamW on a small transformer, beside what a user would pick instead.

    python experiments/transformer.py

trains a character-level transformer of half a million parameters on a text
that comes with Python, follows the protocol in
experiments/lab/transformer/protocol.py and leaves transformer.json, two
pictures and a page of them, which ends with the protocol, in runs/transformer.
About half an hour on two CPU cores; --resume goes on after a stop.
"""

import argparse
import shutil
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console

from lab import devices
from lab.checkpoints import Trainings, earlier_results
from lab.program import Experiment, environment
from lab.saved import ResultsFile, as_json, write_json, write_text
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


def train(args: argparse.Namespace, console: Console) -> dict[str, Any]:
    """The protocol, step by step; what is finished is kept whatever happens."""
    settings, text = SHORT if args.short else Settings(), read_text()
    depends_on = {
        "settings": as_json(settings) | {"runs": settings.runs},
        "text": {"sha256": text.sha256, "vocabulary": text.vocabulary},
    }
    devices.use_cpu_cores(runs=settings.runs)
    earlier = earlier_results(FILE, args.out, depends_on, resume=args.resume)
    if FILE.finished(earlier):
        return earlier
    versions = environment() | {"grain": version("grain")}
    results = {"protocol": protocol.__doc__, **depends_on, "environment": versions}
    trainings = Trainings(
        args.out / "checkpoints", depends_on, console, settings.stretches
    )
    started, before = time.perf_counter(), earlier.get("seconds", 0.0)
    for part in experiment(trainings, settings, text, earlier):
        seconds = before + time.perf_counter() - started
        results = results | part | {"seconds": seconds}
        write_json(args.out / FILE.name, results)
    shutil.rmtree(args.out / "checkpoints", ignore_errors=True)
    return results


def show(results: dict[str, Any], out: Path, console: Console) -> list[str]:
    """Draws and prints; returns a line for each run that diverged."""
    draw_all(results, out)
    write_text(out / "README.md", report.page(results))
    console.print(f"{report.readme(results)}\n\n{report.choices(results)}")
    console.print(f"README.md, transformer.json and two pictures are in {out}")
    return report.diverged(results)


main = Experiment(
    FILE,
    __doc__,
    train,
    show,
    taste="a small network and few steps",
    takes_data=False,
).main


if __name__ == "__main__":
    sys.exit(main())

"""Learning-rate finders, measured: what they find beside the best peak of a grid.

    python experiments/battery.py

trains small networks of fourteen kinds with ten optimizers at every peak of a
grid, lets the finders say theirs, follows the protocol in
experiments/lab/battery/protocol.py and leaves battery.json, a picture and a
page, which ends with the protocol, in runs/battery. About half an hour on two
CPU cores; --resume goes on after a stop.
"""

import argparse
import json
import sys
import time
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from lab import LabError, program
from lab.battery import protocol, report
from lab.battery.parts import measure
from lab.battery.pictures import draw_all
from lab.battery.protocol import SHORT, Settings, cells
from lab.checkpoints import found
from lab.data import load
from lab.saved import ResultsFile, portable, write_json, write_text
from lab.tables import Progress

FILE = ResultsFile(
    "battery.json",
    "protocol settings environment data cells seconds",
    lambda results: len(results["cells"]) == results["settings"]["cells"],
)


def main(argv: list[str] | None = None) -> int:
    """Runs the program; returns its exit code."""
    args = parse(argv)
    interrupted = "interrupted: what is finished is kept; --resume goes on"
    return program.exit_code("battery.py", partial(run, args), interrupted=interrupted)


def run(args: argparse.Namespace, console: Console) -> int:
    """Cell by cell; what is finished is kept whatever happens."""
    if args.redraw:
        return program.redraw(FILE, args.out, finish, console)
    program.open_folder(args.out)
    settings = SHORT if args.short else Settings()
    depends_on = {"settings": json.loads(json.dumps(asdict(settings)))}
    earlier = found(FILE, args.out, depends_on, resume=args.resume)
    done = earlier.get("cells", [])
    source = load(args.data_dir).source  # before the cells, which would say it often
    results: dict[str, Any] = {
        "protocol": protocol.__doc__,
        **depends_on,
        "environment": program.environment(),
        "data": portable(source),
        "cells": done,
        "seconds": earlier.get("seconds", 0.0),
    }
    known = {(cell["task"], cell["optimizer"]) for cell in done}
    wanted = [c for c in cells(settings) if (c.task, c.optimizer) not in known]
    started, before = time.perf_counter(), results["seconds"]
    with Progress(console, "cell", settings.cells, len(done)) as progress:
        for cell in measure(settings, args.data_dir, wanted):
            seconds = before + time.perf_counter() - started
            results |= {"cells": [*results["cells"], cell], "seconds": seconds}
            write_json(args.out / FILE.name, results)
            progress.add(1, (seconds - before) / (len(results["cells"]) - len(done)))
            console.print(
                f"cell {len(results['cells'])}/{settings.cells}: {cell['task']}, "
                f"{cell['optimizer']}, {cell['seconds']:.0f} s"
            )
    return finish(results, args.out, console)


def finish(results: dict[str, Any], out: Path, console: Console) -> int:
    """Draws and prints."""
    if not FILE.finished(results):
        raise LabError(f"the run in {out} is not finished: go on with --resume")
    scored = report.scored(results)
    draw_all(scored, out)
    write_text(out / "README.md", report.page(results, scored))
    console.print(report.rules(scored, "reporting"))
    for line in report.hopes(scored):
        console.print(line)
    console.print(f"README.md, battery.json and a picture are in {out}")
    return 0


def parse(argv: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = program.Options(
        __doc__,
        """examples:
  battery.py             everything, as the protocol has it
  battery.py --resume    go on after the last finished cells
  battery.py --redraw    page and picture again, from battery.json
  battery.py --short     a taste: three cells, few peaks and short cycles
exit codes: 0 done, 1 error, 2 wrong arguments, 130 Ctrl-C""",
    )
    parser.add_folders(Path("runs/battery"))
    parser.add_resuming()
    parser.add_argument(
        "--short", action="store_true", help="a taste of everything, in minutes"
    )
    return parser.read(argv)


if __name__ == "__main__":
    sys.exit(main())

"""Learning-rate finders, measured: what they find beside the best peak of a grid.

    python experiments/battery.py

trains small networks of 32 kinds with fourteen optimizers at every peak of a
grid, lets the finders say theirs, follows the protocol in
experiments/lab/battery/protocol.py and leaves battery.json, a picture and a
page, which ends with the protocol, in runs/battery. Under an hour on two
CPU cores; --resume goes on after a stop.
"""

import argparse
import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console

from lab.battery import protocol, report
from lab.battery.parts import measure
from lab.battery.pictures import draw_all
from lab.battery.protocol import SHORT, Settings, cells
from lab.checkpoints import earlier_results
from lab.data import load
from lab.program import Experiment, environment
from lab.saved import ResultsFile, as_json, portable, write_json, write_text
from lab.tables import Progress

FILE = ResultsFile(
    "battery.json",
    "protocol settings environment data cells seconds",
    lambda results: len(results["cells"]) == results["settings"]["cells"],
)


def train(args: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Cell by cell; what is finished is kept whatever happens."""
    settings = SHORT if args.short else Settings()
    depends_on = {"settings": as_json(settings)}
    earlier = earlier_results(FILE, args.out, depends_on, resume=args.resume)
    if earlier and FILE.finished(earlier):
        return earlier
    done = earlier.get("cells", [])
    source = load(args.data_dir).source  # before the cells, which would say it often
    results: dict[str, Any] = {
        "protocol": protocol.__doc__,
        **depends_on,
        "environment": environment(),
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
    return results


def show(results: dict[str, Any], out: Path, console: Console) -> list[str]:
    """Draws and prints; a cycle that diverges is one of the figures."""
    scored = report.scored(results)
    draw_all(scored, out)
    write_text(out / "README.md", report.page(results, scored))
    console.print(report.rules(scored, "reporting"))
    for line in report.hopes(scored):
        console.print(line)
    console.print(f"README.md, battery.json and a picture are in {out}")
    return []


taste = "three cells, few peaks and short cycles"
main = Experiment(FILE, __doc__, train, show, taste).main


if __name__ == "__main__":
    sys.exit(main())

"""What it costs, beside what people leave behind, on this machine, in one run.

    python experiments/benchmark.py

prints a table of medians and spreads, and writes benchmark.json and a page of
it in runs/benchmark. Peers are measured where they are installed, on the GPU
if they and JAX find one: pip install -e ".[benchmark]" brings PyTorch and
TensorFlow. TensorFlow Addons needs a TensorFlow and a NumPy that exclude
today's JAX, so it has to live in an environment of its own: --peer-python
names its Python, which then measures Keras too. Jobs of ours and of peers take
turns, so that a machine whose speed drifts treats them alike.
"""

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from lab.benchmark.parts import schedule_costs
from lab.benchmark.report import page, table
from lab.benchmark.timing import job, peer_job, repeat, row
from lab.data import load
from lab.program import Options, environment, exit_code, open_folder
from lab.saved import write_json, write_text


def main(argv: list[str] | None = None) -> int:
    """Runs the program; returns its exit code."""
    args = parse(argv)
    interrupted = "interrupted; finished parts are kept"
    return exit_code("benchmark.py", partial(run, args), interrupted=interrupted)


def run(args: argparse.Namespace, console: Console) -> int:
    """Measures part by part; the JSON always holds what is finished."""
    open_folder(args.out)
    results: dict[str, Any] = {"environment": environment()}
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        data = str(Path(folder) / "fashion.npz")
        parts: dict[str, Callable[[], list[dict[str, Any]]]] = {
            "data": lambda: data_costs(data, args.data_dir),
            "schedule": lambda: schedule_costs(args.steps, args.peer_python),
            "imports": import_costs,
            "main job": lambda: main_job(data, args.rounds, args.peer_python),
            "growth": lambda: growth(data),
        }
        for section, measure in parts.items():
            console.print(f"measuring: {section}")
            results[section] = measure()
            lines += results[section]
            write_json(args.out / "benchmark.json", results)
            write_text(args.out / "README.md", page(results))
    console.print(table(lines))
    console.print(f"benchmark.json and README.md are in {args.out}")
    return 0


def data_costs(path: str, data_dir: Path | None) -> list[dict[str, Any]]:
    """The first start, which prepares the data, and later ones; saves it for the jobs.

    A folder that is named may hold the prepared copy already: then only later ones.
    """
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder)
        started = time.perf_counter()
        data = load(data_dir, cache=cache)
        first = time.perf_counter() - started
        later = repeat(lambda: load(data_dir, cache=cache), 3)
    (x, y), (x_test, y_test) = data.train, data.test
    np.savez(path, x=x, y=y, x_test=x_test, y_test=y_test)
    rows = [] if data_dir else [row("the data, first start", [first])]
    return [*rows, row("the data, later starts", later)]


def import_costs() -> list[dict[str, Any]]:
    """What our imports add to those of the libraries below."""
    rows = []
    for base, module in (("jax", "clr_core"), ("optax", "clr_optax")):
        seconds = [
            job("imports", sys.executable, base=base, module=module)["seconds"]
            for _ in range(6)
        ]
        # the first may write bytecode
        rows.append(row(f"import {module} beyond {base}", seconds[1:], "ms", 1e3))
    return rows


def main_job(data: str, rounds: int, peer_python: str) -> list[dict[str, Any]]:
    """An epoch of both arms, evaluation included, ours and the peers' in turn."""
    eager: dict[str, Any] = {"data": data, "epochs": 3}
    peers = [
        ("keras", peer_python, eager),
        ("torch", sys.executable, eager),
        ("torch", sys.executable, eager | {"compiled": True}),
    ]
    ours: list[float] = []
    theirs: dict[str, list[float]] = {}
    compiling = []
    for _ in range(rounds):
        mine = job("ours", sys.executable, **eager)
        compiling.append(mine["compile"])
        ours += mine["epochs"][1:]
        for peer in list(peers):
            name, python, options = peer
            measured = peer_job(name, python, **options)
            if measured is None:
                peers.remove(peer)
                continue
            # a peer trains one arm after the other; its first epoch compiles
            seconds = [2 * t for t in measured["epochs"][1:]]
            theirs.setdefault(_named(measured), []).extend(seconds)
    what = "both arms, an epoch"
    return [
        row(f"{what}, {_named(mine)}", ours),
        *(
            row(f"{what}, {name}", seconds, beside=("ours", ours))
            for name, seconds in theirs.items()
        ),
        row("compiling the epoch", compiling),
    ]


def _named(measured: dict[str, Any]) -> str:
    """What ran, and on what."""
    return f"{measured['version']}, {measured['device']}"


def growth(data: str) -> list[dict[str, Any]]:
    """How the seconds of a run grow with batch size, seeds and epochs."""
    rows = []
    for name, values, what in (
        ("batch_size", (32, 64, 128), "an epoch"),
        ("seeds", (1, 2, 4), "an epoch"),
        ("epochs", (1, 2, 4), "in all"),
    ):
        first = None
        for value in values:
            options = {"epochs": 3, name: value}
            times = job("ours", sys.executable, data=data, **options)["epochs"]
            seconds = [sum(times)] if name == "epochs" else times[1:]
            rows.append(row(f"{name}={value}, {what}", seconds, beside=first))
            first = first or (f"{name}={value}", seconds)
    return rows


def parse(argv: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = Options(
        __doc__,
        """examples:
  benchmark.py               everything, with the peers installed here
  benchmark.py --rounds 1    a single turn of the main job
  benchmark.py --peer-python ~/tfa/bin/python
                             with Keras and TensorFlow Addons from there
exit codes: 0 done, 1 error, 2 wrong arguments, 130 Ctrl-C""",
    )
    parser.add_folders(Path("runs/benchmark"))
    parser.add_argument(
        "--peer-python",
        default=sys.executable,
        help="the Python whose TensorFlow and tfa are measured (default: this one)",
    )
    parser.add_number("--rounds", 3, "turns of the main job (default 3)")
    parser.add_argument(
        "--steps",
        type=int,
        default=20_000_000,
        help="steps in bulk, and a fifth of them (default 20000000)",
    )
    args = parser.read(argv)
    if not 5 <= args.steps < 2**31:
        parser.error(f"argument --steps: needs 5 to 2**31 - 1, got {args.steps}")
    if shutil.which(args.peer_python) is None:
        parser.error(f"argument --peer-python: no such program: {args.peer_python}")
    return args


if __name__ == "__main__":
    sys.exit(main())

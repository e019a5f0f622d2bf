"""What it costs, beside what people leave behind, on this machine, in one run.

    python experiments/benchmark.py

prints a table of medians and spreads and writes benchmark.json. Peers are measured
where they are installed: pip install -e ".[benchmark]" brings PyTorch and TensorFlow.
TensorFlow Addons needs a TensorFlow and a NumPy that exclude today's JAX, so it has to
live in an environment of its own: --peer-python names its Python, which then measures
Keras too. Jobs of ours and of peers take turns, so that a machine whose
speed drifts treats them alike.
"""

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

import dataset
import jax
import numpy as np
from benchmark_schedule import schedule_costs
from command_line import parsed, positive
from results import environment, open_folder, write_json
from rich import box
from rich.console import Console
from rich.table import Table
from timing import formatted, job, row


def main(argv: list[str] | None = None) -> int:
    """Runs the program; returns its exit code."""
    args = parse(argv)
    open_folder(args.out)
    console = Console(highlight=False)
    table = Table("what", "median", "min to max", "beside", box=box.MARKDOWN)
    results: dict[str, Any] = {"environment": environment()}
    for section, measure in (
        ("schedule", lambda args: schedule_costs(args.steps, args.peer_python)),
        ("imports", import_costs),
        ("main job", main_job),
        ("growth", growth),
    ):
        console.print(f"measuring: {section}")
        results[section] = measure(args)
        for line in results[section]:
            table.add_row(*formatted(line))
        write_json(args.out / "benchmark.json", results)
    console.print(table)
    console.print(f"Wrote benchmark.json to {args.out}")
    return 0


def import_costs(args: argparse.Namespace) -> list[dict[str, Any]]:
    """What our imports add to those of the libraries below."""
    rows = []
    for base, module in (("jax", "clr_core"), ("optax", "clr_optax")):
        seconds = [
            job("imports", sys.executable, base=base, module=module)["seconds"]
            for _ in range(5)
        ]
        rows.append(row(f"import {module} beyond {base}", seconds, "ms", 1e3))
    return rows


def main_job(args: argparse.Namespace) -> list[dict[str, Any]]:
    """An epoch of both arms, evaluation included, ours and the peers' in turn."""
    with tempfile.TemporaryDirectory() as folder:
        data = save_data(Path(folder), args.data_dir)
        peers = {"keras": args.peer_python, "torch": sys.executable}
        seconds: dict[str, list[float]] = {"ours": [], **{name: [] for name in peers}}
        compiling, versions = [], {"ours": f"JAX {jax.__version__}"}
        for _ in range(args.rounds):
            mine = job("ours", sys.executable, data=data, epochs=3)
            compiling.append(mine["compile"])
            seconds["ours"] += mine["epochs"][1:]
            for name, python in list(peers.items()):
                theirs = job(name, python, data=data, epochs=3)
                if theirs is None:
                    del peers[name]
                    continue
                versions[name] = theirs["version"]
                # a peer trains one arm after the other; its first epoch compiles
                seconds[name] += [2 * t for t in theirs["epochs"][1:]]
    rows = [row(f"both arms, an epoch, {versions['ours']}", seconds["ours"], "s", 1)]
    for name in peers:
        what = f"both arms, an epoch, {versions[name]}"
        rows.append(row(what, seconds[name], "s", 1, beside=seconds["ours"]))
    return [*rows, row("compiling the epoch", compiling, "s", 1)]


def growth(args: argparse.Namespace) -> list[dict[str, Any]]:
    """How the seconds of a run grow with batch size, seeds and epochs."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        data = save_data(Path(folder), args.data_dir)
        for name, values in (
            ("batch_size", (32, 64, 128)),
            ("seeds", (1, 2, 4)),
            ("epochs", (1, 2, 4)),
        ):
            for value in values:
                told = {"epochs": 2, name: value}
                times = job("ours", sys.executable, data=data, **told)
                if name == "epochs":  # of the whole run
                    rows.append(row(f"{name}={value}, in all", [sum(times["epochs"])]))
                else:
                    rows.append(row(f"{name}={value}, an epoch", times["epochs"][1:]))
    return rows


def save_data(folder: Path, data_dir: Path | None) -> str:
    """Fashion-MNIST where every job can read it."""
    data = dataset.load(data_dir)
    path = folder / "fashion.npz"
    np.savez(path, **{k: v for k, v in data._asdict().items() if k != "source"})
    return str(path)


def parse(argv: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n\n")[0], allow_abbrev=False
    )
    out = Path("runs/benchmark")
    parser.add_argument("--out", type=Path, default=out, help=f"default {out}")
    parser.add_argument("--data-dir", type=Path, help="the only place to look for data")
    parser.add_argument(
        "--peer-python",
        default=sys.executable,
        help="the Python whose TensorFlow and tfa are measured (default: this one)",
    )
    parser.add_argument(
        "--rounds", type=positive, default=3, help="turns of the main job (default 3)"
    )
    parser.add_argument(
        "--steps", type=positive, default=20_000_000, help="steps in bulk (default 2e7)"
    )
    return parsed(parser, argv)


if __name__ == "__main__":
    sys.exit(main())

"""CLR with AdamW on a small transformer, beside what a user would pick instead.

    python experiments/transformer.py

trains a character-level transformer of half a million parameters on a text
that comes with Python, follows the protocol in
experiments/lab/transformer/protocol.py and leaves transformer.json, two
pictures and a page of them, which ends with the protocol, in runs/transformer.
About 20 minutes on two CPU cores; --resume goes on after a stop.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import optax
from rich.console import Console

from clr_optax import lr_range_test
from lab import LabError, devices, program
from lab.saved import write_json, write_text
from lab.transformer import protocol, tables
from lab.transformer.network import Network
from lab.transformer.page import page
from lab.transformer.pictures import draw_all
from lab.transformer.protocol import SHORT, Settings, final_arms, grid_arms
from lab.transformer.text import Text, loader, read_text
from lab.transformer.training import Rows, Stage, trained
from lab.unfinished import read_unfinished

Results = dict[str, Any]


def main(argv: list[str] | None = None) -> int:
    """Runs the program; returns its exit code."""
    args = parse(argv)
    interrupted = "interrupted: what is finished is kept; --resume goes on"
    work = partial(run, args)
    return program.exit_code("transformer.py", work, interrupted=interrupted)


def run(args: argparse.Namespace, console: Console) -> int:
    """The protocol, step by step; what is finished is kept whatever happens."""
    path = args.out / "transformer.json"
    if args.redraw:
        return program.redraw(path, finish, console)
    program.open_folder(args.out)
    settings, text = SHORT if args.short else Settings(), read_text()
    results: Results = {
        "protocol": protocol.__doc__,
        "settings": json.loads(json.dumps(asdict(settings))) | {"runs": settings.runs},
        "text": {"sha256": text.sha256, "vocabulary": text.vocabulary},
    }
    alike = {name: results[name] for name in ("settings", "text")}
    found = read_unfinished(path, alike, resume=args.resume)
    devices.use_cpu_cores(runs=settings.runs)
    environment = program.environment() | {"grain": version("grain")}
    results |= {"environment": environment}
    started, before = time.perf_counter(), found.get("seconds", 0.0)
    for part in experiment(settings, text, found):
        results |= part
        results["seconds"] = before + time.perf_counter() - started
        write_json(path, results)
        if "runs" in part:
            console.print(tables.progress(results))
    return finish(results, args.out, console)


def experiment(settings: Settings, text: Text, found: Results) -> Iterator[Results]:
    """Yields what is new in the results; what is `found` is not done again."""
    network = Network(settings, text.vocabulary)
    test = found.get("range_test") or range_tests(network, text)
    try:  # the protocol's 3 says why the peak is not the upper bound
        curves = tables.as_curves(test)
        base_lr, peak = curves.bounds()[0], curves.suggest("minimum")
    except ValueError as error:
        raise LabError(f"the range tests cannot be read: {error}") from error
    rows: Rows = found.get("runs", [])
    yield {"range_test": test, "base_lr": base_lr, "peak": peak, "runs": rows}

    for length in settings.lengths:
        arms = grid_arms(settings.grid, length)
        grid = Stage("grid", length, arms, 1, text.first, text.second)
        for new in trained(grid, network, rows):
            rows = rows + new
            yield {"runs": rows}
        arms = final_arms(base_lr, peak, tables.tuned_peak(rows, length), length)
        seeds = settings.seeds
        final = Stage("final", length, arms, seeds, text.learned, text.held_out)
        for new in trained(final, network, rows):
            rows = rows + new
            yield {"runs": rows}
    yield {"finished": True}


def range_tests(network: Network, text: Text) -> Results:
    """The library's range test on each seed, as any program with a loader calls it."""
    settings, started = network.settings, time.perf_counter()
    tests = []
    for seed in range(settings.seeds):
        key = jax.random.key(seed)
        params, rest = network.start(key)
        test = lr_range_test(
            network.loss_fn,
            params,
            loader(text.first, settings.context, settings.batch_size, seed),
            state=rest,
            key=key,
            max_lr=1.0,
            num_steps=settings.range_steps,
            optimizer=optax.adamw,
        )
        tests.append(test)
    return {
        "lrs": tests[0].lrs.tolist(),
        "losses": [test.losses.tolist() for test in tests],
        "seconds": time.perf_counter() - started,
    }


def finish(results: Results, out: Path, console: Console) -> int:
    """Draws and prints; 3 if a final run diverged."""
    if not results.get("finished"):
        raise LabError(f"the run in {out} is not finished: go on with --resume")
    draw_all(results, out)
    write_text(out / "README.md", page(results))
    console.print(f"{tables.readme(results)}\n\n{tables.choices(results)}")
    console.print(f"README.md, transformer.json and two pictures are in {out}")
    diverged = tables.diverged(results)
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

"""What every program does alike: options, its folder, errors in one line.

    def main(argv=None):
        args = parse(argv)
        return exit_code("program.py", partial(run, args), interrupted="interrupted")

`run(args, console)` returns the exit code of a run that comes to its end. What follows
a protocol is an `Experiment`, which brings its own main.
"""

import argparse
import errno
import importlib.metadata
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
from rich.console import Console

from lab import LabError
from lab.saved import ResultsFile

PACKAGES = ("clr-jax", "jax", "jaxlib", "optax", "flax", "numpy")


def exit_code(program: str, run: Callable[[Console], int], *, interrupted: str) -> int:
    """What `run` returns; 1 with the error's text, 130 after Ctrl-C."""
    try:
        return run(Console(highlight=False, soft_wrap=True, markup=False, emoji=False))
    except Exception as error:
        if not of_user_or_machine(error):
            raise  # a mistake in our code shows where it is
        print(f"{program}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"{program}: {interrupted}", file=sys.stderr)
        return 130


def of_user_or_machine(error: Exception) -> bool:
    """Whether it says what to mend: our own, a disk's, memory's or a lost device's."""
    if isinstance(error, jax.errors.JaxRuntimeError):
        return str(error).startswith(("RESOURCE_EXHAUSTED", "UNAVAILABLE"))
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS)
    return isinstance(error, LabError)


class Options(argparse.ArgumentParser):
    """A command line, with the options that the programs have in common."""

    def __init__(self, description: str, epilog: str | None = None):
        super().__init__(
            description=description,
            epilog=epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )

    def add_number(self, name: str, default: int, description: str) -> None:
        """Adds an option whose value is a whole number from 1."""
        self.add_argument(
            name, type=positive, default=default, metavar="N", help=description
        )

    def add_out(self, out: Path) -> None:
        """Adds --out."""
        self.add_argument(
            "--out",
            type=Path,
            default=out,
            metavar="DIR",
            help=f"where results and checkpoints go (default {out})",
        )

    def add_folders(self, out: Path) -> None:
        """Adds --out and --data-dir."""
        self.add_out(out)
        self.add_argument(
            "--data-dir",
            type=Path,
            metavar="DIR",
            help="the only place to look for the data; default: wherever it is found",
        )

    def add_resuming(self) -> None:
        """Adds --resume and --redraw, of which only one can be given."""
        either = self.add_mutually_exclusive_group()
        either.add_argument(
            "--resume", action="store_true", help="go on where it stopped"
        )
        either.add_argument(
            "--redraw", action="store_true", help="draw without training"
        )

    def read(self, argv: Sequence[str] | None) -> argparse.Namespace:
        """The arguments; exits with 2 if they are wrong."""
        args = self.parse_args(argv)
        for name, value in vars(args).items():
            if value == []:  # what argparse makes of --epochs=--, up to Python 3.12
                self.error(f"argument --{name.replace('_', '-')}: expected a value")
        return args


@dataclass(frozen=True)
class Experiment:
    """A program that follows a protocol, as a whole or in short, or goes on with it.

    `train(args, console)` returns the results when all is done; `show(results, out,
    console)` draws and prints them, and returns a line for each run that diverged.
    `taste` says what the short form is.
    """

    file: ResultsFile
    description: str
    train: Callable[[argparse.Namespace, Console], dict[str, Any]]
    show: Callable[[dict[str, Any], Path, Console], list[str]]
    taste: str
    takes_data: bool = True

    def main(self, argv: Sequence[str] | None = None) -> int:
        """Runs the program; returns its exit code."""
        args = self.parse(argv)
        kept = "interrupted: what is finished is kept; --resume goes on"
        return exit_code(f"{self.name}.py", partial(self.run, args), interrupted=kept)

    @property
    def name(self) -> str:
        """That of the program and of its results."""
        return Path(self.file.name).stem

    def run(self, args: argparse.Namespace, console: Console) -> int:
        """Trains, if asked to, and shows."""
        if args.redraw:
            results = self.file.read(args.out)
        open_folder(args.out)
        if not args.redraw:
            results = self.train(args, console)
        if not self.file.finished(results):
            raise LabError(
                f"the run in {args.out} is not finished: go on with --resume"
            )
        diverged = self.show(results, args.out, console)
        for line in diverged:
            console.print(line)
        return 3 if diverged else 0

    def parse(self, argv: Sequence[str] | None) -> argparse.Namespace:
        """The command line."""
        parser = Options(
            self.description,
            f"""examples:
  {self.name}.py             everything, as the protocol has it
  {self.name}.py --resume    go on after what is finished
  {self.name}.py --redraw    page and pictures again, from {self.file.name}
  {self.name}.py --short     a taste: {self.taste}
exit codes: 0 done, 1 error, 2 wrong arguments, 3 a final run diverged,
  130 Ctrl-C""",
        )
        out = Path("runs") / self.name
        if self.takes_data:
            parser.add_folders(out)
        else:
            parser.add_out(out)
        parser.add_resuming()
        parser.add_argument(
            "--short", action="store_true", help="a taste of everything, in minutes"
        )
        return parser.read(argv)


def positive(text: str) -> int:
    """A whole number from 1 that an int32 holds, for argparse."""
    try:
        value = int(text)
    except ValueError:
        value = 0
    if not 1 <= value < 2**31:
        raise argparse.ArgumentTypeError(
            f"needs a whole number from 1 to 2**31 - 1, got {text}"
        )
    return value


def open_folder(out: Path) -> None:
    """Makes the folder, and a file in it, so that a run can't fail on it at its end."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
    except OSError as error:
        why = error.strerror or error
        raise LabError(f"--out {out} could not be written ({why})") from error


def environment() -> dict[str, Any]:
    """Versions and devices, for the JSON."""
    devices = jax.devices()
    return {
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in PACKAGES},
        "platform": platform.platform(),
        "device": devices[0].device_kind,
        "devices": len(devices),
        "processes": jax.process_count(),
        "cpu_cores": os.cpu_count(),
    }

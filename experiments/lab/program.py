"""What every program does alike: options, its folder, errors in one line.

    def main(argv=None):
        args = parse(argv)
        return exit_code("program.py", partial(run, args), interrupted="interrupted")

`run(args, console)` returns the exit code of a run that comes to its end.
"""

import argparse
import errno
import importlib.metadata
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
from rich import progress
from rich.console import Console

from lab import LabError
from lab.checkpoints import Checkpoints
from lab.saved import ResultsFile
from lab.training import Runs, Stretch, Training

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
    """Makes the folder, and a file in it, so that a run can't fail on it at its end.

    Raises:
        LabError: The folder can't be made or written.
    """
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


def redraw(
    file: ResultsFile,
    out: Path,
    finish: Callable[[dict[str, Any], Path, Console], int],
    console: Console,
) -> int:
    """What `finish(results, out, console)` returns for the results in a folder.

    Raises:
        LabError: They are not there, or not of this program.
    """
    results = file.read(out)
    open_folder(out)
    return finish(results, out, console)


class Progress(progress.Progress):
    """A bar over what there is to do, on a terminal, and the time that is left."""

    def __init__(self, console: Console, unit: str, total: int, done: int = 0):
        super().__init__(
            progress.TextColumn(unit + " {task.completed}/{task.total}"),
            progress.BarColumn(),
            progress.TextColumn("{task.fields[pace]}"),
            progress.TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self.bar = self.add_task("", total=total, completed=done, pace="compiling")
        self.left, self._done, self._seconds = total - done, 0, 0.0

    def skip(self, units: int) -> None:
        """Takes what was done before from what is left."""
        self.left -= units
        self.update(self.bar, advance=units)

    def add(self, units: int, seconds: float) -> None:
        """Counts what was done just now, in so many seconds."""
        self._done, self._seconds = self._done + units, self._seconds + seconds
        self.left -= units
        self.update(self.bar, advance=units, pace=f"{seconds / units:.1f} s each")

    @property
    def minutes_left(self) -> float:
        """At the pace so far."""
        return self.left * self._seconds / self._done / 60


class Trainings:
    """The trainings of a program, one after the other; each goes on after a stop.

    `settings` are what all of them depend on, and `planned` how many stretches of
    single runs there are in all. `seconds` is what each training has taken so far.
    """

    def __init__(
        self, folder: Path, settings: dict[str, Any], console: Console, planned: int
    ):
        self.folder, self.settings, self.console = folder, settings, console
        self.progress = Progress(console, "stretch", planned)
        self.seconds: dict[str, float] = {}

    def train(
        self,
        name: str,
        training: Training,
        told: Callable[[Stretch], str],
        *,
        save_every: int = 1,
        keep_every: int | None = None,
    ) -> Runs:
        """The runs when all is done; prints what is `told` of each stretch."""
        checkpoints = self.checkpoints(name, training, keep_every)
        runs = training.start()
        runs = checkpoints.latest(runs, training.until) or runs
        self.progress.skip(training.count * runs.done)
        self.seconds[name] = runs.seconds
        for stretch in training.go_on(runs):
            runs = stretch.runs
            if runs.done % save_every == 0 or runs.done == training.until:
                checkpoints.save(runs)
            self.seconds[name] = runs.seconds
            self.progress.add(training.count, stretch.seconds)
            self.console.print(
                f"{name}: {told(stretch)}; "
                f"about {self.progress.minutes_left:.0f} min left"
            )
        return runs

    def at(self, name: str, training: Training, ends: Sequence[int]) -> list[Runs]:
        """The runs after so many stretches each, of which checkpoints were kept."""
        checkpoints, like = self.checkpoints(name, training), training.start()
        return [checkpoints.at(end, like) for end in ends]

    def remove(self, name: str) -> None:
        """Removes the checkpoints of a training whose figures are kept elsewhere."""
        shutil.rmtree(self._folder(name), ignore_errors=True)

    def checkpoints(
        self, name: str, training: Training, keep_every: int | None = None
    ) -> Checkpoints:
        """Where a training goes on."""
        about = {name: arm.about for name, arm in training.arms.items()}
        settings = self.settings | about
        return Checkpoints(self._folder(name), settings, keep_every=keep_every)

    def _folder(self, name: str) -> Path:
        return self.folder / name.replace(" ", "-")

"""How a run goes on after a stop: checkpoints by Orbax, and the results file.

A training goes on from its last checkpoint. A program is finished when its results are:
`earlier_results` tells a finished run from one that is to be gone on with.
"""

import contextlib
import shutil
import signal
import textwrap
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from jax.experimental.multihost_utils import sync_global_devices
from numpy.typing import NDArray
from rich.console import Console

from lab import LabError
from lab.saved import ResultsFile
from lab.tables import Progress
from lab.training import Runs, Stretch, Training


class Checkpoints:
    """The checkpoints of one training in one folder: the last two, and each k-th.

    Each holds the runs, the settings and a checksum. Orbax writes a checkpoint beside
    its final place and renames it, so that a killed process leaves whole checkpoints;
    the checksum finds what went bad afterwards.
    """

    def __init__(
        self, folder: Path, settings: dict[str, Any], *, keep_every: int | None = None
    ):
        self.folder, self.settings = folder.resolve(), settings
        try:  # Orbax takes a file for a folder until it saves
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise LabError(
                f"{self.folder} cannot be a folder of checkpoints ({error.strerror}): "
                "remove what is there, or choose another --out."
            ) from error
        options = ocp.CheckpointManagerOptions(
            max_to_keep=2, keep_period=keep_every, enable_async_checkpointing=False
        )
        self.manager = ocp.CheckpointManager(self.folder, options=options)

    def save(self, runs: Runs) -> None:
        """Writes what a resumed run needs; when this returns, it is on the disk."""
        words = _words(runs.state)
        about = {
            "settings": self.settings,
            "figures": runs.figures.tolist(),
            "seconds": runs.seconds,
            "checksum": _checksum(runs.figures, words),
        }
        items = ocp.args.Composite(
            state=ocp.args.StandardSave({"words": words}),
            about=ocp.args.JsonSave(about),
        )
        try:
            if not self.folder.is_dir():  # Orbax would make it again
                raise FileNotFoundError("the folder has vanished")
            # what latest() passed over: Orbax would silently not save before it
            for damaged in [n for n in self.manager.all_steps() if n >= runs.done]:
                self.manager.delete(damaged)
            with ctrl_c_waits():
                self.manager.save(runs.done, args=items)
        except Exception as error:  # Orbax wraps what the file system says in its own
            raise LabError(
                f"checkpoint {runs.done} could not be written to {self.folder} "
                f"({_first_line(error)}); earlier ones are intact: make room and go on "
                "with --resume."
            ) from error

    def latest(self, like: Runs, until: int) -> Runs | None:
        """The runs of the newest intact checkpoint, if any, in the form of `like`.

        One of other settings, or of more stretches than `until`, is refused.
        """
        for partial in self.folder.glob("*.orbax-checkpoint-tmp"):
            _pass_over(partial.stem, "it is half written")
        for number in sorted(self.manager.all_steps(), reverse=True):
            try:
                return self._read(number, like, until)
            except LabError:
                raise
            except Exception as error:  # whatever a damaged file makes Orbax raise
                _pass_over(number, error)
        return None

    def at(self, number: int, like: Runs) -> Runs:
        """The runs after so many stretches, whose checkpoint was kept."""
        try:
            return self._read(number, like, number)
        except Exception as error:
            raise LabError(
                f"checkpoint {number} in {self.folder} cannot be read "
                f"({_first_line(error)}): choose another --out."
            ) from error

    def _read(self, number: int, like: Runs, until: int) -> Runs:
        """The runs of a checkpoint; raises whatever tells that it is damaged."""
        item = ocp.args.Composite(about=ocp.args.JsonRestore())
        about = self.manager.restore(number, args=item)["about"]
        self._check(about["settings"], number, until)
        figures = np.array(about["figures"], np.float32)
        shape = jax.eval_shape(_words, like.state).shape
        form = {"words": np.zeros(shape, np.uint32)}
        item = ocp.args.Composite(state=ocp.args.StandardRestore(form))
        words = self.manager.restore(number, args=item)["state"]["words"]
        if _checksum(figures, words) != about["checksum"]:
            raise ValueError("its checksum is wrong")
        return Runs(figures, _state(words, like.state), about["seconds"])

    def _check(self, found: dict[str, Any], number: int, until: int) -> None:
        """Refuses a checkpoint of other settings, or of more stretches."""
        different = [
            f"{name} was {found.get(name)}, is {value}"
            for name, value in self.settings.items()
            if found.get(name) != value
        ]
        if different:
            raise LabError(
                f"the checkpoints in {self.folder} are of other settings: "
                f"{'; '.join(different)}. Give the settings that they were made with, "
                "or another --out."
            )
        if number > until:
            raise LabError(
                f"{self.folder} has {number} epochs done, more than --epochs {until}: "
                f"give --epochs {number} or more, or another --out."
            )


class Trainings:
    """The trainings of a program, one after the other; each goes on where it stopped.

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
        start: Runs | None = None,
        *,
        save_every: int = 1,
        keep_every: int | None = None,
    ) -> Runs:
        """The runs when all is done; prints a line for each stretch, as `told` has it.

        They begin at `start`, where another training has come to, or anew.
        """
        checkpoints = self.checkpoints(name, training, keep_every)
        start = training.start() if start is None else start._replace(seconds=0.0)
        runs = checkpoints.latest(start, training.until) or start
        self.progress.skip(training.count * (runs.done - start.done))
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

    def checkpoints(
        self, name: str, training: Training, keep_every: int | None = None
    ) -> Checkpoints:
        """Where a training goes on."""
        about = {name: arm.about for name, arm in training.arms.items()}
        settings = self.settings | about
        folder = self.folder / name.replace(" ", "-")
        return Checkpoints(folder, settings, keep_every=keep_every)


def earlier_results(
    file: ResultsFile, out: Path, must_equal: dict[str, Any], *, resume: bool
) -> dict[str, Any]:
    """What an earlier run in the folder has written, if this one goes on with it.

    Its entries `must_equal` these. A run that begins anew is given nothing, and removes
    the checkpoints of a finished one; one that is not finished is refused, and so are
    checkpoints without results, which are another program's.
    """
    path = out / file.name
    results = file.read(out) if path.exists() else {}
    if resume:
        for name, here in must_equal.items():
            if results and results[name] != here:
                raise LabError(
                    f"{path} is of other {name}: {results[name]}, here {here}. "
                    "Give another --out."
                )
        return results
    if results and not file.finished(results):
        raise LabError(
            f"{out} holds a run that is not finished: continue it with --resume, or "
            "choose another --out."
        )
    checkpoints = out / "checkpoints"
    if not results and any(path.is_file() for path in checkpoints.rglob("*")):
        raise LabError(
            f"{checkpoints} is of another run, without {file.name}: choose another "
            "--out, or remove it."
        )
    if jax.process_index() == 0:
        shutil.rmtree(checkpoints, ignore_errors=True)
    sync_global_devices("checkpoints are removed")
    return {}


@contextlib.contextmanager
def ctrl_c_waits() -> Iterator[None]:
    """Lets Ctrl-C take effect when the block is done: Orbax would not end cleanly."""
    received: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: received.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if received:
            signal.raise_signal(signal.SIGINT)


def _checksum(figures: NDArray[np.float32], words: Any) -> int:
    """The sum of all 32-bit words, which one flipped bit changes."""
    alike = np.where(np.isnan(figures), np.float32(np.nan), figures)  # JSON has one NaN
    of_figures = alike.view(np.uint32).sum(dtype=np.uint32)
    return (int(of_figures) + int(jnp.sum(words, dtype=jnp.uint32))) % 2**32


@jax.jit
def _words(state: Any) -> jax.Array:
    """A state as one array, a row of words for each run.

    Of several arrays, Orbax leaves some half read when one is damaged, and Python
    complains of them later.
    """
    rows = [
        jax.lax.bitcast_convert_type(_plain(leaf), jnp.uint32).reshape(len(leaf), -1)
        for leaf in jax.tree.leaves(state)
    ]
    return jnp.concatenate(rows, axis=1)


def _state(words: NDArray[np.uint32], like: Any) -> Any:
    """The state of such words, in the form of another."""
    forms = [jax.eval_shape(_plain, leaf) for leaf in jax.tree.leaves(like)]
    ends = np.cumsum([form.size // len(words) for form in forms])
    parts = iter(zip(forms, np.split(words, ends[:-1], axis=1), strict=True))

    def restored(leaf: jax.Array) -> jax.Array:
        form, part = next(parts)
        array: Any = np.ascontiguousarray(part).view(form.dtype).reshape(form.shape)
        if form.dtype != leaf.dtype:
            array = jax.random.wrap_key_data(array)
        placed: jax.Array = jax.device_put(array, leaf.sharding)
        return placed

    return jax.tree.map(restored, like)


def _plain(leaf: Any) -> Any:
    """Numbers in the place of random keys."""
    keys = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    return jax.random.key_data(leaf) if keys else leaf


def _pass_over(number: int | str, why: object) -> None:
    if jax.process_index() == 0:
        print(f"Passing over checkpoint {number}: {_first_line(why)}")


def _first_line(error: object) -> str:
    """What went wrong, without the pages of context that TensorStore adds."""
    line = (str(error).splitlines() or [type(error).__name__])[0]
    return textwrap.shorten(line.split(" [tensorstore_spec")[0], 300)

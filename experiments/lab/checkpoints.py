"""How a run goes on after a stop: checkpoints by Orbax, and the results file.

A training goes on from its last checkpoint. A program is finished when its results are:
`found` tells a finished run from one that is to be gone on with.
"""

import contextlib
import shutil
import signal
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from jax.experimental.multihost_utils import sync_global_devices
from numpy.typing import NDArray

from lab import LabError
from lab.saved import ResultsFile
from lab.training import Runs


class CheckpointError(LabError):
    """The checkpoints at hand can't be used, or none can be written."""


class Checkpoints:
    """The checkpoints of one training in one folder: the last two, and each k-th.

    Each holds the runs, the settings and a checksum. Orbax writes a checkpoint beside
    its final place and renames it, so that a killed process leaves whole checkpoints;
    the checksum finds what went bad afterwards.

    Raises:
        CheckpointError: There can be no such folder.
    """

    def __init__(
        self, folder: Path, settings: dict[str, Any], *, keep_every: int | None = None
    ):
        self.folder, self.settings = folder.resolve(), settings
        try:  # Orbax takes a file for a folder until it saves
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CheckpointError(
                f"{self.folder} cannot be a folder of checkpoints ({error.strerror}): "
                "remove what is there, or choose another --out."
            ) from error
        options = ocp.CheckpointManagerOptions(
            max_to_keep=2, keep_period=keep_every, enable_async_checkpointing=False
        )
        self.manager = ocp.CheckpointManager(self.folder, options=options)

    def save(self, runs: Runs) -> None:
        """Writes what a resumed run needs; when this returns, it is on the disk."""
        about = {
            "settings": self.settings,
            "figures": runs.figures.tolist(),
            "seconds": runs.seconds,
            "checksum": _checksum(runs.figures, runs.state),
        }
        items = ocp.args.Composite(
            state=ocp.args.StandardSave(runs.state), about=ocp.args.JsonSave(about)
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
            raise CheckpointError(
                f"checkpoint {runs.done} could not be written to {self.folder} "
                f"({_first_line(error)}); earlier ones are intact: make room and go on "
                "with --resume."
            ) from error

    def latest(self, like: Runs, until: int) -> Runs | None:
        """The runs of the newest intact checkpoint, if there is any.

        Args:
            like: Runs with the shapes and shardings that the result is to have.
            until: As many stretches may be done, not more.

        Raises:
            CheckpointError: The newest was made with other settings, or goes further.
        """
        for partial in self.folder.glob("*.orbax-checkpoint-tmp"):
            _pass_over(partial.stem, "it is half written")
        for number in sorted(self.manager.all_steps(), reverse=True):
            try:
                return self._read(number, like, until)
            except CheckpointError:
                raise
            except Exception as error:  # whatever a damaged file makes Orbax raise
                _pass_over(number, error)
        return None

    def at(self, number: int, like: Runs) -> Runs:
        """The runs after so many stretches, whose checkpoint was kept.

        Raises:
            CheckpointError: It is not there, or damaged.
        """
        try:
            return self._read(number, like, number)
        except Exception as error:
            raise CheckpointError(
                f"checkpoint {number} in {self.folder} cannot be read "
                f"({_first_line(error)}): choose another --out."
            ) from error

    def _read(self, number: int, like: Runs, until: int) -> Runs:
        """The runs of a checkpoint; raises whatever tells that it is damaged."""
        item = ocp.args.Composite(about=ocp.args.JsonRestore())
        about = self.manager.restore(number, args=item)["about"]
        self._check(about["settings"], number, until)
        figures = np.array(about["figures"], np.float32)
        shapes = jax.tree.map(ocp.utils.to_shape_dtype_struct, like.state)
        item = ocp.args.Composite(state=ocp.args.StandardRestore(shapes))
        state = self.manager.restore(number, args=item)["state"]
        if _checksum(figures, state) != about["checksum"]:
            raise ValueError("its checksum is wrong")
        return Runs(figures, state, about["seconds"])

    def _check(self, found: dict[str, Any], number: int, until: int) -> None:
        """Refuses a checkpoint of other settings, or of more stretches."""
        different = [
            f"{name} was {found.get(name)}, is {value}"
            for name, value in self.settings.items()
            if found.get(name) != value
        ]
        if different:
            raise CheckpointError(
                f"the checkpoints in {self.folder} are of other settings: "
                f"{'; '.join(different)}. Give the settings that they were made with, "
                "or another --out."
            )
        if number > until:
            raise CheckpointError(
                f"{self.folder} has {number} epochs done, more than --epochs {until}: "
                f"give --epochs {number} or more, or another --out."
            )


def found(
    file: ResultsFile, out: Path, alike: dict[str, Any], *, resume: bool
) -> dict[str, Any]:
    """The results of a run that is to be gone on with, as far as they go, or none.

    A run that is to begin anew begins without the checkpoints of one that is finished.

    Args:
        file: The results file, beside which is the folder of checkpoints.
        out: Where both are.
        alike: What must be in the results for the run to be gone on with.
        resume: Whether it is to be gone on with.

    Raises:
        LabError: It is not finished and not to be resumed, or is of other settings.
    """
    path = out / file.name
    results = file.read(out) if path.exists() else {}
    if resume:
        for name, here in alike.items():
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
    if jax.process_index() == 0:
        shutil.rmtree(out / "checkpoints", ignore_errors=True)
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


def _checksum(figures: NDArray[np.float32], state: Any) -> list[int]:
    """The sum of each array's 32-bit words, which one flipped bit changes."""
    leaves = [figures, *jax.tree.leaves(state)]
    return [int(_sum_of_words(leaf)) for leaf in leaves]


@jax.jit
def _sum_of_words(leaf: jax.Array) -> jax.Array:
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        leaf = jax.random.key_data(leaf)
    return jax.lax.bitcast_convert_type(leaf, jnp.uint32).sum(dtype=jnp.uint32)


def _pass_over(number: int | str, why: object) -> None:
    if jax.process_index() == 0:
        print(f"Passing over checkpoint {number}: {_first_line(why)}")


def _first_line(error: object) -> str:
    """What went wrong, without the pages of context that TensorStore adds."""
    line = (str(error).splitlines() or [type(error).__name__])[0]
    return textwrap.shorten(line.split(" [tensorstore_spec")[0], 300)

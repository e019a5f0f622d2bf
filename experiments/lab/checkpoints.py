"""Checkpoints after every epoch, by Orbax, and the way back from the last good one."""

import json
import textwrap
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp

from lab import LabError
from lab.history import Runs
from lab.restoring import restored
from lab.saved import ctrl_c_waits


class CheckpointError(LabError):
    """The checkpoints at hand can't be used, or none can be written."""


class Checkpoints:
    """The checkpoints of one run in one folder: the last two, and each k-th for good.

    Each holds the state, the history of all epochs so far, the settings and a checksum.
    Orbax writes a checkpoint beside its final place and renames it, so that a killed
    process leaves whole checkpoints; the checksum finds what went bad afterwards.

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
        epoch = runs.history.epochs
        about = {
            "settings": self.settings,
            "history": runs.history.figures.tolist(),
            "checksum": _checksum(runs.state),
        }
        items = ocp.args.Composite(
            state=ocp.args.StandardSave(runs.state), about=ocp.args.JsonSave(about)
        )
        try:
            if not self.folder.is_dir():  # Orbax would make it again
                raise FileNotFoundError("the folder has vanished")
            # what latest() passed over: Orbax would silently not save before it
            for damaged in [e for e in self.manager.all_steps() if e >= epoch]:
                self.manager.delete(damaged)
            with ctrl_c_waits():
                self.manager.save(epoch, args=items)
        except Exception as error:  # Orbax wraps what the file system says in its own
            raise CheckpointError(
                f"the checkpoint of epoch {epoch} could not be written to "
                f"{self.folder} ({_first_line(error)}); earlier ones are intact: make "
                "room and go on with --resume."
            ) from error

    def latest(self, like: Runs, epochs: int) -> Runs | None:
        """The runs of the newest intact checkpoint, if there is any.

        Args:
            like: Runs with the arms, shapes and shardings that the result is to have.
            epochs: As many may be done, not more.

        Raises:
            CheckpointError: The newest was made with other settings, or goes further.
        """
        for partial in self.folder.glob("*.orbax-checkpoint-tmp"):
            _pass_over(partial.stem, "it is half written")
        for epoch in sorted(self.manager.all_steps(), reverse=True):
            try:
                found = self._about(epoch)["settings"]
            except Exception as error:
                _pass_over(epoch, error)
                continue
            self._check(found, epoch, epochs)
            try:
                return self._read(epoch, like)
            except Exception as error:
                _pass_over(epoch, error)
        return None

    def at(self, epoch: int, like: Runs) -> Runs:
        """The runs after an epoch whose checkpoint was kept.

        Raises:
            CheckpointError: It is not there, or damaged.
        """
        try:
            return self._read(epoch, like)
        except Exception as error:
            raise CheckpointError(
                f"the checkpoint of epoch {epoch} in {self.folder} cannot be read "
                f"({_first_line(error)}): choose another --out."
            ) from error

    def start_anew(self, epochs: int) -> None:
        """Removes what a finished run of as many epochs left.

        Raises:
            CheckpointError: What is there could still be continued.
        """
        done = self.manager.latest_step() or 0
        if 0 < done < epochs:
            raise CheckpointError(
                f"{self.folder} holds a run that stopped after epoch {done}: continue "
                "it with --resume, or choose another --out."
            )
        for epoch in self.manager.all_steps():
            self.manager.delete(epoch)

    def _read(self, epoch: int, like: Runs) -> Runs:
        """The runs of a checkpoint; raises whatever tells that it is damaged."""
        about = self._about(epoch)
        figures = np.array(about["history"], np.float32)
        state = restored(self._item(epoch, "state"), like.state)
        if _checksum(state) != about["checksum"]:
            raise ValueError("its checksum is wrong")
        return Runs(replace(like.history, figures=figures), state)

    def _about(self, epoch: int) -> dict[str, Any]:
        about: dict[str, Any] = json.loads(
            self._item(epoch, "about/metadata").read_text()
        )
        return about

    def _item(self, epoch: int, name: str) -> Path:
        return self.folder / str(epoch) / name

    def _check(self, found: dict[str, Any], epoch: int, epochs: int) -> None:
        """Refuses a checkpoint of other settings, or of more epochs."""
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
        if epoch > epochs:
            raise CheckpointError(
                f"{self.folder} has {epoch} epochs done, more than --epochs {epochs}: "
                f"give --epochs {epoch} or more, or another --out."
            )


@jax.jit
def _checksums(state: Any) -> list[jax.Array]:
    return [
        jax.lax.bitcast_convert_type(leaf, jnp.uint32).sum(dtype=jnp.uint32)
        for leaf in jax.tree.leaves(state)
    ]


def _checksum(state: Any) -> list[int]:
    """The sum of each array's 32-bit words, which one flipped bit changes."""
    return [int(value) for value in _checksums(state)]


def _pass_over(epoch: int | str, why: object) -> None:
    if jax.process_index() == 0:
        print(f"Passing over the checkpoint of epoch {epoch}: {_first_line(why)}")


def _first_line(error: object) -> str:
    """What went wrong, without the pages of context that TensorStore adds."""
    line = (str(error).splitlines() or [type(error).__name__])[0]
    return textwrap.shorten(line.split(" [tensorstore_spec")[0], 300)

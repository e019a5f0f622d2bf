"""What a loss raised while it was computed: where a test ended, and in which words."""

import dataclasses
import re
from typing import NamedTuple

import jax

_INTERRUPT = re.compile(r"^(KeyboardInterrupt|SystemExit)\b", re.MULTILINE)


class Failure(NamedTuple):
    """What a step raised while it ran, and which one."""

    step: int
    error: Exception


def failure_of(step: int, error: Exception) -> Failure:
    """Returns a failure, or raises the error of a callback that was interrupted."""
    if _INTERRUPT.search(str(error)):
        raise error
    return Failure(step, error)


@jax.tree_util.register_static
@dataclasses.dataclass(frozen=True)
class Raised:
    """Where a loss raised, and what; in a pytree it has no leaves.

    Attributes:
        lr: the rate of the step that raised.
        text: the kind of the error and the first line of what it says.
    """

    lr: float
    text: str

    def __str__(self) -> str:
        """Returns it as a reservation."""
        return f"loss_fn raised at a rate of {self.lr:.3g}: {self.text}"


def raised_at(
    function: str, failure: Failure | None, lrs: jax.Array, accumulate: int
) -> Raised | None:
    """Returns where a run of these rates failed, None if it did not.

    The error gets it as a note.
    """
    if failure is None:
        return None
    step = failure.step // accumulate
    lr = float(lrs[step])
    note = f"{function}: loss_fn raised this at step {step}, at a rate of {lr:.3g}"
    if note not in getattr(failure.error, "__notes__", ()):
        failure.error.add_note(note)
    return Raised(lr, _text(failure.error))


def _text(error: Exception) -> str:
    """Returns an error's kind and first line.

    What a callback of the loss raised comes with its own traceback as the text of an
    error of JAX's: then they are the line after the last that is indented.
    """
    lines = str(error).splitlines()
    text = f"{type(error).__name__}: {lines[0] if lines else ''}"
    frames = [k for k, line in enumerate(lines) if line.startswith('  File "')]
    if frames:
        after = [line for line in lines[frames[-1] + 1 :] if not line.startswith("  ")]
        text = after[0].lstrip("_") if after else text
    return text if len(text) <= 100 else f"{text[:97]}..."

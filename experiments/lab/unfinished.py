"""Results that a stopped run has left."""

from pathlib import Path
from typing import Any

from lab import LabError
from lab.saved import read_json


def read_unfinished(
    path: Path, alike: dict[str, Any], *, resume: bool
) -> dict[str, Any]:
    """The content that a stopped run has left, if it is to be gone on with, or none.

    Args:
        path: Its results file, which holds "finished" when all is done.
        alike: What must be in it for the run to be gone on with.
        resume: Whether it is to be gone on with.

    Raises:
        LabError: It is not finished and not to be resumed, or is of other settings.
    """
    if not path.exists():
        return {}
    found = read_json(path)
    if not resume:
        if found.get("finished"):
            return {}
        raise not_finished(path.parent)
    for name, here in alike.items():
        if found.get(name) != here:
            raise LabError(
                f"{path} is of other {name}: {found.get(name)}, here {here}. "
                "Give another --out."
            )
    return found


def not_finished(folder: Path) -> LabError:
    """The error of a new run in the folder of one that is not finished."""
    return LabError(
        f"{folder} holds a run that is not finished: continue it with --resume, "
        "or choose another --out."
    )

"""Results on disk: JSON, pages and pictures, whole or not at all."""

import contextlib
import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from clr_optax import Sweep
from lab import LabError

# how a picture shows what an arm is for
DASHES = {"cyclical": "-", "peer": "--", "baseline": "--", "fixed": ":"}


def portable(text: str) -> str:
    """The text with the home folder as ~, so that results name no one's."""
    home = Path.home()
    if home == Path(home.anchor):  # as in some containers
        return text
    return re.sub(rf"(?<![\w./-]){re.escape(str(home))}(?![\w.-])", "~", text)


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Writes JSON, a list of numbers on one line; NaN and infinity become null."""
    text = json.dumps(_without_nan(content), indent=1, allow_nan=False)
    numbers = r'\[\n\s*([^][{}"]*?)\n\s*\]'
    text = re.sub(numbers, lambda found: f"[{' '.join(found[1].split())}]", text)
    write_text(path, text + "\n")


def as_json(settings: Any) -> dict[str, Any]:
    """The fields of a dataclass as JSON gives them back."""
    fields: dict[str, Any] = json.loads(json.dumps(asdict(settings)))
    return fields


def digits(values: Any) -> list[float]:
    """Six digits of each value, nearly as many as float32 has."""
    return [float(f"{value:.6g}") for value in np.asarray(values).tolist()]


def sweep_to_json(sweep: Sweep) -> dict[str, Any]:
    """A sweep as lists."""
    return {
        "peaks": sweep.peaks.tolist(),
        "losses": digits(sweep.losses),
        "start": sweep.start,
        "steps": sweep.steps,
    }


def sweep_from_json(found: dict[str, Any]) -> Sweep:
    """The sweep of such lists; a loss that JSON has not is infinite."""
    losses = np.array([np.inf if x is None else x for x in found["losses"]])
    return Sweep(np.array(found["peaks"]), losses, found["start"], found["steps"])


def write_text(path: Path, text: str) -> None:
    """Writes a file whole or not at all."""
    with _replacing(path) as temporary:
        temporary.write_text(text)


@dataclass(frozen=True)
class ResultsFile:
    """The results file of a program: its name, and what it holds.

    The `keys`, in one string, are those that the content always has; `finished` says
    whether it is all that there will be.
    """

    name: str
    keys: str
    finished: Callable[[dict[str, Any]], bool]

    def read(self, out: Path) -> dict[str, Any]:
        """The content of the file in a folder.

        Raises:
            LabError: It is not there, damaged, or not of this program.
        """
        path = out / self.name
        try:
            content = json.loads(path.read_text())
            if not isinstance(content, dict):
                raise ValueError("it holds no JSON object")
            for key in self.keys.split():
                if key not in content:
                    raise ValueError(f"it has no {key}")
        except FileNotFoundError:
            raise LabError(f"there is no {path} to redraw: train first") from None
        except ValueError as error:
            raise LabError(
                f"{path} is not a results file ({error}): delete it and train again, "
                "or choose another --out"
            ) from error
        return content


def panels(
    size: tuple[float, float],
    count: int = 1,
    *,
    sharex: bool = False,
    sharey: bool = False,
) -> tuple[Figure, list[Axes]]:
    """A figure with axes beside each other, with a faint grid."""
    figure = Figure(figsize=size, layout="constrained")
    row = figure.subplots(1, count, squeeze=False, sharex=sharex, sharey=sharey)[0]
    for axes in row:
        axes.grid(alpha=0.3)
    return figure, list(row)


def save_figure(figure: Figure, path: Path) -> None:
    """Writes the picture as PNG, readable at the width of a README."""
    with _replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)


@contextlib.contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """A temporary file beside path that takes its place when the block succeeds."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield temporary
        temporary.replace(path)
    except OSError as error:
        why = error.strerror or error
        raise LabError(f"{path} could not be written ({why})") from error
    finally:
        temporary.unlink(missing_ok=True)


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(inner) for inner in value]
    if isinstance(value, float) and not float("-inf") < value < float("inf"):
        return None
    return value

"""Results on disk: JSON, pages and pictures, whole or not at all."""

import contextlib
import json
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from lab import LabError


def portable(text: str) -> str:
    """The text with the home folder as ~, so that results name no one's."""
    home = re.escape(str(Path.home()))
    return re.sub(rf"(?<![\w./-]){home}(?![\w.-])", "~", text)


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Writes JSON; NaN and infinity, which JSON has not, become null."""
    text = json.dumps(_without_nan(content), indent=1, allow_nan=False)
    write_text(path, text + "\n")


def write_text(path: Path, text: str) -> None:
    """Writes a file whole or not at all."""
    with _replacing(path) as temporary:
        temporary.write_text(text)


def read_json(path: Path) -> dict[str, Any]:
    """The content of a results file.

    Raises:
        LabError: It is not there, or damaged.
    """
    try:
        content = json.loads(path.read_text())
        if not isinstance(content, dict):
            raise ValueError("it holds no JSON object")
    except FileNotFoundError:
        raise LabError(f"there is no {path} to redraw: train first") from None
    except ValueError as error:
        raise LabError(
            f"{path} is not a results file ({error}): delete it and train again, or "
            "choose another --out"
        ) from error
    return content


def save_figure(figure: Figure, path: Path) -> None:
    """Writes the picture as PNG, readable at the width of a README."""
    with _replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)


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

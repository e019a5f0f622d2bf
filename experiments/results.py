"""Results on disk, whole or not at all, and what a run's figures depend on."""

import contextlib
import importlib.metadata
import json
import os
import platform
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
from matplotlib.figure import Figure

PACKAGES = ("clr-jax", "jax", "jaxlib", "optax", "flax", "numpy")


def open_folder(out: Path) -> None:
    """Makes the folder, and a file in it, so that a run can't fail on it at its end.

    Raises:
      OSError: the folder can't be made or written.
    """
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=out):
        pass


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


def portable(text: str) -> str:
    """The text with the home folder as ~, so that results name no one's."""
    return text.replace(str(Path.home()), "~")


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Writes JSON; NaN and infinity, which JSON has not, become null."""
    text = json.dumps(_without_nan(content), indent=1, allow_nan=False)
    with _replacing(path) as temporary:
        temporary.write_text(text + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """The content of a results file.

    Raises:
      OSError: it is not there, or damaged.
    """
    try:
        content: dict[str, Any] = json.loads(path.read_text())
    except FileNotFoundError:
        raise OSError(f"there is no {path} to redraw: train first") from None
    except ValueError as error:
        raise OSError(f"{path} is not a results file ({error}): train again") from error
    return content


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
        raise OSError(f"{path} could not be written ({why})") from error
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

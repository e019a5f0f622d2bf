"""Tests run once more, in a process with settings of its own."""

import os
import sys
from pathlib import Path

import children

FOLDER = Path(__file__).parent


def run_again(*files, options=(), **settings):
    """Runs files of tests with JAX's settings in the environment; all must pass."""
    command = [sys.executable, "-m", "pytest", "-q", "-o", "addopts=", *options]
    done = children.run(
        [*command, "-p", "no:cacheprovider", *(FOLDER / file for file in files)],
        cwd=FOLDER.parent,
        env=os.environ | settings,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout
    assert " skipped" not in done.stdout

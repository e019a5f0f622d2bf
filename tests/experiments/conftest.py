"""The main program in processes of its own, which end with the test."""

import os
import subprocess
import sys
from pathlib import Path

import children
import pytest
import tiny_idx

PROGRAM = Path(__file__).parents[2] / "experiments" / "fashion.py"


@pytest.fixture(scope="module")
def start_fashion():
    """A function that starts fashion.py on the tiny files of a folder."""
    started = []

    def start(data, *arguments, **environment):
        command = [sys.executable, tiny_idx.__file__, data, PROGRAM, "--data-dir", data]
        process = children.start(
            [*command, *arguments],
            env=os.environ | environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()

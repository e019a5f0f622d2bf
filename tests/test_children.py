"""What a test starts does not outlive it."""

import signal
import subprocess
import sys
from pathlib import Path

import children
import pytest

SLEEP = "import time; print('started', flush=True); time.sleep(60)"
TEST = f"""
import sys, children
command = [sys.executable, "-c", {SLEEP!r}]
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere no kernel offers this")
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("call", ["start(command).wait()", "run(command)"])
def test_a_program_ends_with_the_test_that_started_it(call, end):
    with subprocess.Popen(
        [sys.executable, "-c", f"{TEST}children.{call}"],
        cwd=Path(children.__file__).parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as test:
        assert test.stdout.readline() == "started\n"
        test.send_signal(end)
        test.communicate(timeout=30)  # the pipe ends when both are gone


def test_a_program_gets_its_arguments_and_gives_its_code():
    code = "import sys; print(sys.argv[1:]); sys.exit(3)"
    command = [sys.executable, "-c", code, "--flag", "two words"]
    process = children.start(command, stdout=subprocess.PIPE, text=True)
    printed, _ = process.communicate(timeout=60)
    assert printed == "['--flag', 'two words']\n"
    assert process.returncode == 3

"""Programs that tests start, and that end with the test that started them.

    process = children.start([sys.executable, "program.py"], stdout=subprocess.PIPE)
    done = children.run([sys.executable, "program.py"], capture_output=True)

A test that is cut off, by Ctrl-C, a time limit or the kernel, runs no clean-up; so on
Linux the kernel is asked to kill the program when its parent dies, which an exec keeps.
"""

import ctypes
import os
import signal
import subprocess
import sys
from typing import Any

PR_SET_PDEATHSIG = 1


def start(command: list[Any], **options: Any) -> subprocess.Popen:
    """Returns the program, started by way of this file."""
    return subprocess.Popen([*through(), *command], **options)


def run(command: list[Any], **options: Any) -> subprocess.CompletedProcess:
    """Returns the program when it is done, like subprocess.run."""
    return subprocess.run([*through(), *command], **options)


def through() -> list[str]:
    """Returns the start of a command that becomes the rest of it."""
    return [sys.executable, "-I", "-S", __file__, str(os.getpid())]


def main() -> None:
    """Becomes the program, in the same process."""
    _, parent, *command = sys.argv
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != int(parent):  # it died before that
            sys.exit("the test that started this is gone")
    os.execvp(command[0], command)


if __name__ == "__main__":
    main()

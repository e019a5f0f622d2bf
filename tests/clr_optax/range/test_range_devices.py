"""Sharded params on four devices: in one process, and in two that talk."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import children
import pytest

PROGRAM = Path(__file__).with_name("range_on_devices.py")


def start(devices, *arguments):
    environment = os.environ | {
        "JAX_NUM_CPU_DEVICES": str(devices),
        "JAX_PLATFORMS": "cpu",
    }
    return children.start(
        [sys.executable, PROGRAM, *map(str, arguments)],
        env=environment,
        text=True,
        stderr=subprocess.PIPE,
    )


def check(processes):
    errors = [process.communicate(timeout=300)[1] for process in processes]
    for process, text in zip(processes, errors, strict=True):
        assert process.returncode == 0, text


@pytest.mark.slow
def test_sharded_params_stay_sharded_on_four_devices():
    check([start(4)])


@pytest.mark.slow
def test_sharded_params_stay_sharded_on_two_processes():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    check([start(2, address, 2, number) for number in range(2)])

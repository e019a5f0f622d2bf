"""Two processes on the loopback address train as one; neither waits forever."""

import json
import socket

import numpy as np
import pytest
import tiny_idx

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the data; what is compiled once is kept there too."""
    folder = tmp_path_factory.mktemp("processes")
    tiny_idx.write(folder / "idx", train=200, test=50)
    return folder


@pytest.fixture(scope="module")
def start(folder, start_fashion):
    """Starts so many processes, with a device each, as one run: their Popen objects."""

    def start(out, epochs, processes, *arguments):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            coordinator = f"127.0.0.1:{free.getsockname()[1]}"
        options = ["--epochs", str(epochs), "--batch-size", "18"]
        options += ["--out", folder / out, *arguments]
        environment = {
            "JAX_NUM_CPU_DEVICES": "1",
            "JAX_COMPILATION_CACHE_DIR": str(folder / "cache"),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        }
        several = ["--coordinator", coordinator, "--num-processes", str(processes)]
        return [
            start_fashion(
                folder / "idx",
                *options,
                *([*several, "--process-id", str(number)] if processes > 1 else []),
                **environment,
            )
            for number in range(processes)
        ]

    return start


def finish(started):
    """What each process printed; all have to succeed."""
    printed = [process.communicate(timeout=120) for process in started]
    for process, (_, errors) in zip(started, printed, strict=True):
        assert process.returncode == 0, errors
    return [out for out, _ in printed]


def losses(folder, out):
    history = json.loads((folder / out / "fashion.json").read_text())["history"]
    return np.array(
        [history[arm][name] for arm in ("SGD", "CLR") for name in ("loss", "val_loss")]
    )


@pytest.fixture(scope="module")
def alone(folder, start):
    """One process, three epochs."""
    finish(start("alone", 3, 1))
    return losses(folder, "alone")


@pytest.fixture(scope="module")
def together(alone, start):
    """Two processes, two epochs: what each printed."""
    return finish(start("together", 2, 2))


def test_two_processes_give_the_history_of_one(folder, alone, together):
    np.testing.assert_allclose(
        losses(folder, "together"), alone[..., :2], rtol=1e-4, atol=0
    )


def test_only_process_0_speaks_and_writes_results(folder, together):
    first, second = together
    assert "Data: " in first
    assert "2/2 CLR" in first
    assert "Data: " not in second
    assert "epoch" not in second
    results = json.loads((folder / "together" / "fashion.json").read_text())
    assert results["environment"]["processes"] == 2
    assert not list((folder / "together").glob(".*"))


def test_one_process_goes_on_after_two(folder, start, alone, together):
    (printed,) = finish(start("together", 3, 1, "--resume"))
    assert "Resuming after epoch 2" in printed
    np.testing.assert_allclose(losses(folder, "together"), alone, rtol=1e-4, atol=0)


def test_two_processes_go_on_after_one(folder, start, alone):
    finish(start("grown", 1, 1))
    printed, _ = finish(start("grown", 3, 2, "--resume"))
    assert "Resuming after epoch 1" in printed
    np.testing.assert_allclose(losses(folder, "grown"), alone, rtol=1e-4, atol=0)


@pytest.mark.parametrize("victim", [0, 1])
def test_a_killed_process_ends_the_other(folder, start, alone, victim):
    """With an error, in less than a minute; what was finished can go on."""
    out = f"killed-{victim}"
    processes = start(out, 10_000, 2)
    for line in processes[0].stdout:
        if line.startswith("    2/10000"):
            break
    processes[victim].kill()
    survivor = processes[1 - victim]
    _, errors = survivor.communicate(timeout=60)
    processes[victim].communicate()
    assert survivor.returncode not in (0, None)
    assert "another task died" in errors, errors
    done = losses(folder, out).shape[-1]
    (printed,) = finish(start(out, done + 2, 1, "--resume"))
    assert "Resuming after epoch" in printed
    assert losses(folder, out).shape[-1] == done + 2
    first = losses(folder, out)[..., :3]
    np.testing.assert_allclose(first, alone, rtol=1e-4, atol=0)

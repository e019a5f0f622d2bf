"""Kills a run of experiments/fashion.py at random moments; it must not matter.

    python tests/experiments/kill_and_resume.py            20 kills, minutes
    python tests/experiments/kill_and_resume.py --kills 4  a taste

is run by hand when anything about checkpoints changes, and with four kills by a
slow test. It trains once undisturbed and once killed with SIGKILL again and
again, each time going on with --resume, and exits with 0 if weights, optimizer
states, figures and results of both are equal bit for bit. The kills come at the
start, in training and evaluation, and in the writing of a checkpoint.
"""

import argparse
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import children
import tiny_idx

PROGRAM = Path(__file__).parents[2] / "experiments" / "fashion.py"
EPOCH = re.compile(r" *(\d+)/\d+ (SGD|CLR) ")
MOMENTS = "start", "step or evaluation", "step or evaluation", "checkpoint"
TRAIN, TEST = 640, 400  # evaluation is a good part of an epoch


def main() -> int:
    """Prints each kill and the comparison; returns 0 if all is identical."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=20, metavar="N")
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    args = parser.parse_args()
    rng = random.Random(args.seed)
    epochs = 12 * args.kills + 12  # a kill may come ten epochs after the one before
    with tempfile.TemporaryDirectory() as folder:
        data, plain, killed = (Path(folder, n) for n in ("idx", "plain", "killed"))
        tiny_idx.write(data, train=TRAIN, test=TEST)
        undisturbed = start_fashion(data, plain, epochs)
        undisturbed.communicate()
        for number in range(1, args.kills + 1):
            moment = MOMENTS[number % len(MOMENTS)]
            process = start_fashion(data, killed, epochs)
            done = kill(process, killed, moment, rng)
            print(f"kill {number:2}: {moment}, {done} epochs done", flush=True)
        last = start_fashion(data, killed, epochs)
        printed, _ = last.communicate()
        print(next(line for line in printed.splitlines() if "esum" in line))
        if undisturbed.returncode or last.returncode:
            print(f"FAILED: the last run ended with {last.returncode}\n{printed}")
            return 1
        different = compare(plain, killed, epochs)
    for line in different:
        print(f"DIFFERENT: {line}")
    if not different:
        print(f"bit-identical after {args.kills} kills")
    return 1 if different else 0


def start_fashion(data: Path, out: Path, epochs: int) -> subprocess.Popen:
    """The program with --resume, in a process of its own."""
    command = [sys.executable, tiny_idx.__file__, data]
    command += [PROGRAM, "--data-dir", data, "--out", out]
    command += ["--epochs", str(epochs), "--batch-size", "16", "--resume"]
    # a program once compiled is taken from the cache by all later starts
    cache = {
        "JAX_COMPILATION_CACHE_DIR": str(data / "cache"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_NUM_CPU_DEVICES": "2",
    }
    return children.start(
        command,
        env=os.environ | cache,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def kill(process: subprocess.Popen, out: Path, moment: str, rng: random.Random) -> int:
    """Kills at a random time of such a moment; returns how many epochs are done."""
    before = half_written(out)  # by earlier kills
    if moment == "start":
        time.sleep(rng.uniform(0.5, 6))
    else:
        # an epoch is printed, or the run is at its end
        next((line for line in process.stdout if EPOCH.match(line)), None)
        while moment == "checkpoint" and process.poll() is None:
            if half_written(out) - before:
                break
            time.sleep(0.001)
        time.sleep(rng.uniform(0, 0.1 if moment == "checkpoint" else 0.8))
    process.kill()
    printed, _ = process.communicate()
    if process.returncode != -signal.SIGKILL:
        sys.exit(f"FAILED: the run had ended before its kill\n{printed}")
    file = out / "fashion.json"
    if not file.exists():
        return 0
    return len(json.loads(file.read_text())["history"]["SGD"]["loss"][0])


def half_written(out: Path) -> set[str]:
    """The checkpoints that are half written."""
    folders = (out / "checkpoints").glob("*.orbax-checkpoint-tmp")
    return {folder.name for folder in folders}


def compare(plain: Path, killed: Path, epochs: int) -> list[str]:
    """The names of all that two finished runs do not have in common."""
    import jax
    import numpy as np
    from made_data import random_images

    from lab import network
    from lab.checkpoints import Checkpoints
    from lab.tutorial.settings import Settings

    settings = Settings(epochs, 16, 1, TRAIN)
    data = random_images(TRAIN, TEST)
    sizes = {"seeds": 1, "epochs": epochs, "batch_size": 16}
    like = network.training(settings.arms, data, **sizes).start()
    results, states = [], []
    for out in (plain, killed):
        results.append(json.loads((out / "fashion.json").read_text()))
        checkpoints = Checkpoints(out / "checkpoints", settings.trajectory)
        runs = checkpoints.latest(like, epochs)
        states.append(jax.tree_util.tree_leaves_with_path((runs.figures, runs.state)))
    # files at the first start, a prepared copy later
    parts = results[0].keys() - {"data", "seconds"}
    different = [name for name in parts if results[0][name] != results[1][name]]
    for (path, leaf), (_, other) in zip(*states, strict=True):
        if np.asarray(leaf).tobytes() != np.asarray(other).tobytes():
            different.append(f"state{jax.tree_util.keystr(path)}")
    print(f"compared {len(parts)} parts of the JSON and {len(states[0])} arrays")
    return different


if __name__ == "__main__":
    sys.exit(main())

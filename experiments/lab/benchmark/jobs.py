"""One timed job a process, so that no framework's threads disturb another's.

    python -m lab.benchmark.jobs keras '{"data": "fashion.npz", "epochs": 3}'

prints the job's times as JSON. Each job imports what it needs and nothing else: the
tutorial's own stack and JAX do not fit into one environment.
"""

import importlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from lab import LabError
from lab.benchmark.timing import repeat

EXPERIMENTS = Path(__file__).parents[2]


def job(name: str, python: str, **options: Any) -> dict[str, Any]:
    """What a job measured in a process of its own.

    Raises:
        LabError: It failed.
    """
    return _measured(name, _ran(name, python, options))


def peer_job(name: str, python: str, **options: Any) -> dict[str, Any] | None:
    """The same of a peer; None, and a line that says so, where it is not installed."""
    done = _ran(name, python, options)
    # what a tfa that is too old for its TensorFlow says can be anything
    missing = name == "tfa" or "Error: No module named" in _complaint(done)
    if done.returncode and missing:
        print(f"skipped {name}: {_complaint(done)}")
        return None
    return _measured(name, done)


def _ran(
    name: str, python: str, options: dict[str, Any]
) -> subprocess.CompletedProcess[str]:
    """The process of a job when it has ended."""
    command = [python, "-m", "lab.benchmark.jobs", name, json.dumps(options)]
    paths = [str(EXPERIMENTS), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    env = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
    # an installed package has its bytecode; without it an import would compile
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    return subprocess.run(command, capture_output=True, text=True, env=env, check=False)


def _measured(name: str, done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """What a job that did not fail printed."""
    if done.returncode:
        raise LabError(f"the job {name} failed: {_complaint(done)}")
    measured: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return measured


def _complaint(done: subprocess.CompletedProcess[str]) -> str:
    """The last line of its errors, which names the exception."""
    lines = done.stderr.strip().splitlines()
    return lines[-1] if lines else f"exit code {done.returncode}"


def ours(
    data: str, epochs: int, batch_size: int = 64, seeds: int = 1
) -> dict[str, Any]:
    """Both arms of the tutorial, as fashion.py trains them."""
    import numpy as np

    from lab.data import FashionMNIST, Images
    from lab.devices import use_cpu_cores
    from lab.training import start, train
    from lab.tutorial.settings import Settings

    use_cpu_cores(2 * seeds)
    with np.load(data) as arrays:
        x, y, x_test, y_test = arrays.values()
    fashion = FashionMNIST(Images(x, y), Images(x_test, y_test), data)
    settings = Settings(epochs, batch_size, seeds)
    optimizers = {name: arm.optimizer for name, arm in settings.arms.items()}
    runs = start(optimizers, seeds)
    done = list(train(optimizers, fashion, runs, epochs=epochs, batch_size=batch_size))
    return {"compile": done[0].compile_seconds, "epochs": [e.seconds for e in done]}


def keras(data: str, epochs: int) -> dict[str, Any]:
    """The tutorial's model and `fit`; both arms have the same cost, so one is timed."""
    import numpy as np
    import tensorflow as tf

    layers = tf.keras.layers
    with np.load(data) as arrays:
        x, y, x_test, y_test = arrays.values()
    model = tf.keras.Sequential(
        [
            layers.Input((28, 28, 1)),
            layers.Rescaling(1 / 255),
            layers.Conv2D(16, (5, 5), activation="relu"),
            layers.MaxPooling2D((2, 2)),
            layers.Conv2D(32, (5, 5), activation="relu"),
            layers.MaxPooling2D((2, 2)),
            layers.SpatialDropout2D(0.2),
            layers.GlobalAveragePooling2D(),
            layers.Dense(128, activation="relu"),
            layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    seconds = []
    for _ in range(epochs):
        started = time.perf_counter()
        model.fit(
            x[..., None],
            y,
            batch_size=64,
            validation_data=(x_test[..., None], y_test),
            verbose=0,
        )
        seconds.append(time.perf_counter() - started)
    return {"epochs": seconds, "version": f"TensorFlow {tf.__version__}"}


def torch(data: str, epochs: int) -> dict[str, Any]:
    """The same model and loop in eager PyTorch, the data in memory as tensors."""
    import numpy as np
    import torch
    from torch import nn

    with np.load(data) as arrays:
        x, y, x_test, y_test = (torch.tensor(a) for a in arrays.values())
    x, x_test = (images[:, None].float() / 255 for images in (x, x_test))
    y, y_test = y.long(), y_test.long()
    mean = (nn.AdaptiveAvgPool2d(1), nn.Flatten())
    model = nn.Sequential(
        *(nn.Conv2d(1, 16, 5), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(16, 32, 5), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Dropout2d(0.2), *mean, nn.Linear(32, 128), nn.ReLU(), nn.Linear(128, 10)),
    )
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    loss_fn = nn.CrossEntropyLoss()
    seconds = []
    for _ in range(epochs):
        started = time.perf_counter()
        model.train()
        for batch in torch.randperm(len(x)).split(64):
            optimizer.zero_grad()
            loss_fn(model(x[batch]), y[batch]).backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            for images, labels in zip(
                x_test.split(1000), y_test.split(1000), strict=True
            ):
                loss_fn(model(images), labels)
        seconds.append(time.perf_counter() - started)
    return {"epochs": seconds, "version": f"PyTorch {torch.__version__}"}


def tfa(sizes: list[int]) -> dict[str, Any]:
    """One eager call, and so many steps at once."""
    import tensorflow as tf
    from tensorflow_addons.optimizers import Triangular2CyclicalLearningRate

    rate = Triangular2CyclicalLearningRate(1e-4, 1e-2, 1874)

    def rates(step: Any) -> Any:
        return rate(step).numpy()

    arrays = [tf.range(size, dtype=tf.float32) for size in sizes]
    return {
        "eager": repeat(partial(rates, 1000), 300),
        "bulk": [repeat(partial(rates, array), 5) for array in arrays],
        "version": f"TensorFlow {tf.__version__}",
    }


def imports(base: str, module: str) -> dict[str, Any]:
    """What `import module` adds where base is imported already."""
    importlib.import_module(base)
    started = time.perf_counter()
    importlib.import_module(module)
    return {"seconds": time.perf_counter() - started}


JOBS: dict[str, Callable[..., dict[str, Any]]] = {
    "ours": ours,
    "keras": keras,
    "torch": torch,
    "tfa": tfa,
    "imports": imports,
}

if __name__ == "__main__":
    print(json.dumps(JOBS[sys.argv[1]](**json.loads(sys.argv[2]))))

"""One timed job a process, so that no framework's threads disturb another's.

    python -m lab.benchmark.jobs keras '{"data": "fashion.npz", "epochs": 3}'

prints the job's times as JSON. Each job imports what it needs and nothing else: the
tutorial's own stack and JAX do not fit into one environment.
"""

import importlib
import json
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from lab.benchmark.timing import repeat


def ours(
    data: str, epochs: int, batch_size: int = 64, seeds: int = 1
) -> dict[str, Any]:
    """Both arms of the tutorial, as fashion.py trains them."""
    import jax
    import numpy as np

    from lab import network
    from lab.data import FashionMNIST, Images
    from lab.devices import use_cpu_cores
    from lab.tutorial.settings import Settings

    use_cpu_cores(2 * seeds)
    with np.load(data) as arrays:
        train = Images(arrays["x"], arrays["y"])
        test = Images(arrays["x_test"], arrays["y_test"])
    training = network.training(
        Settings(epochs, batch_size, seeds).arms,
        FashionMNIST(train, test, data),
        seeds=seeds,
        epochs=epochs,
        batch_size=batch_size,
    )
    done = list(training.go_on(training.start()))
    return {
        "compile": done[0].compile_seconds,
        "epochs": [stretch.seconds for stretch in done],
        "version": f"JAX {jax.__version__}",
        "device": jax.devices()[0].device_kind,
    }


def keras(data: str, epochs: int) -> dict[str, Any]:
    """The tutorial's model and `fit`; both arms have the same cost, so one is timed."""
    import numpy as np
    import tensorflow as tf

    layers = tf.keras.layers
    with np.load(data) as arrays:
        x, y = arrays["x"], arrays["y"]
        x_test, y_test = arrays["x_test"], arrays["y_test"]
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
    version = f"TensorFlow {tf.__version__}"
    gpus = tf.config.list_physical_devices("GPU")
    details = [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
    name = details[0].get("device_name", "gpu") if details else "cpu"
    return {"epochs": seconds, "version": version, "device": name}


def torch(data: str, epochs: int, compiled: bool = False) -> dict[str, Any]:
    """The same model and loop in PyTorch, the data on the device, where it finds one.

    On a GPU as its users set it: channels last, TF32, and compiled if asked for.
    """
    import numpy as np
    import torch
    from torch import nn

    gpu = torch.cuda.is_available()
    device = torch.device("cuda" if gpu else "cpu")
    torch.set_float32_matmul_precision("high" if gpu else "highest")
    with np.load(data) as arrays:
        on_device = {name: torch.tensor(a).to(device) for name, a in arrays.items()}
    x, x_test = (on_device[name][:, None].float() / 255 for name in ("x", "x_test"))
    y, y_test = (on_device[name].long() for name in ("y", "y_test"))
    mean = (nn.AdaptiveAvgPool2d(1), nn.Flatten())
    model = nn.Sequential(
        *(nn.Conv2d(1, 16, 5), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(16, 32, 5), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Dropout2d(0.2), *mean, nn.Linear(32, 128), nn.ReLU(), nn.Linear(128, 10)),
    ).to(device)
    if gpu:
        model = model.to(memory_format=torch.channels_last)
    network = torch.compile(model) if compiled else model
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    loss_fn = nn.CrossEntropyLoss()
    seconds = []
    for _ in range(epochs):
        started = time.perf_counter()
        model.train()
        for batch in torch.randperm(len(x), device=device).split(64):
            optimizer.zero_grad()
            loss_fn(network(x[batch]), y[batch]).backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            for images, labels in zip(
                x_test.split(1000), y_test.split(1000), strict=True
            ):
                loss = loss_fn(network(images), labels)
        loss.item()  # waits until the device is done
        seconds.append(time.perf_counter() - started)
    version = f"PyTorch {torch.__version__}{' compiled' if compiled else ''}"
    name = torch.cuda.get_device_name() if gpu else "cpu"
    return {"epochs": seconds, "version": version, "device": name}


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

"""Part D: what the networks of part C say together at the ends of their cycles."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from lab import network
from lab.arms import Arm
from lab.checkpoints import Checkpoints
from lab.data import Images
from lab.history import Runs
from lab.training import start


def snapshots(
    checkpoints: Checkpoints,
    arms: Mapping[str, Arm],
    seeds: int,
    epochs: tuple[int, ...],
    images: Images,
) -> dict[str, Any]:
    """By arm, every seed's accuracy: of the outputs' mean, and of the last one's."""
    like = start({name: arm.optimizer for name, arm in arms.items()}, seeds)
    outputs = [
        softmax_outputs(checkpoints.at(epoch, like), images.images) for epoch in epochs
    ]
    together = accuracies(np.mean(outputs, axis=0), images.labels)
    alone = accuracies(outputs[-1], images.labels)
    by_arm = len(arms), seeds
    return {
        name: {"together": mean.tolist(), "alone": last.tolist()}
        for name, mean, last in zip(
            arms, together.reshape(by_arm), alone.reshape(by_arm), strict=True
        )
    }


def softmax_outputs(runs: Runs, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Probabilities, of shape (runs, images, 10)."""
    parts = np.array_split(images, max(1, len(images) // 250))

    @jax.jit
    def probabilities(weights: Any, part: jax.Array) -> jax.Array:
        return jax.nn.softmax(network.logits(weights, part))

    params = jax.tree.map(np.asarray, runs.state.params)
    count = len(jax.tree.leaves(params)[0])
    weights = [jax.tree.map(lambda leaf, k=k: leaf[k], params) for k in range(count)]
    return np.stack(
        [np.concatenate([probabilities(w, part) for part in parts]) for w in weights]
    )


def accuracies(
    outputs: NDArray[np.float32], labels: NDArray[np.int32]
) -> NDArray[np.float64]:
    """The share of right answers of each run, NaN for one that says nothing."""
    right = outputs.argmax(axis=-1) == labels
    known = np.isfinite(outputs).all(axis=(-1, -2))
    share: NDArray[np.float64] = np.where(known, right.mean(axis=-1), np.nan)
    return share

"""The protocol of superconvergence.py, fixed before its figures were seen.

1. A fixed permutation divides the 60,000 training images into 55,000 for training and
   5,000 for validation. Every choice is made on the validation images.
2. The fixed rate: the best of a grid, plain and with momentum 0.9, each trained for as
   many epochs as the final run, one seed.
3. CLR's bounds: the medians over the seeds of suggest_bounds on range tests with
   momentum 0.9. Its shape (the bounds whole or halved; the last none, quarter or half
   of the run spent falling from base_lr to a hundredth of it) is chosen in short runs,
   one seed, by the mean accuracy with and without cyclical momentum. One cycle a run.
4. Tuning is counted in training steps; CLR's, range tests included, must not be more
   than the grid's.
5. The final runs train on the 55,000 images with paired seeds (the same weights and
   batches for every arm) and are scored on the 10,000 test images. No choice follows.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from lab.comparison.protocol import split
from lab.data import FashionMNIST, Images
from lab.range_tests import cost_ratio, range_tests
from lab.stages import Stages
from lab.superconvergence.settings import (
    GRID,
    MOMENTA,
    SHAPES,
    ProtocolError,
    Settings,
    cyclical,
    fixed,
)


def experiment(
    settings: Settings,
    data: FashionMNIST,
    explored: dict[str, Any],
    stages: Stages,
) -> Iterator[dict[str, Any]]:
    """The protocol, step by step: yields each part of the results when it is finished.

    `explored` are the range tests if an earlier run has done them, or nothing.
    """
    choosing = split(data)
    longest, steps = settings.epochs[-1], settings.steps_per_epoch

    # The bounds.
    if not explored:
        stages.console.print(f"Range tests of {settings.range_steps} steps")
        explored = explore(settings, choosing.train)
        yield explored
    read = explored["range_test"]["SGD, momentum 0.9"]["suggestions"]
    bounds = read["base_lr"]["median"], read["smith"]["median"]
    if not np.isfinite(np.array(bounds, float)).all():
        raise ProtocolError("no range test could be read: give more --range-steps.")

    # The choices, on the validation images.
    grid = {arm.about: arm for arm in (fixed(*point) for point in GRID)}
    trained = stages.train("fixed rates", grid, choosing, seeds=1, epochs=longest)
    scores = trained.scores("val_accuracy")
    best = max(scores, key=scores.__getitem__)
    choices: dict[str, Any] = {"fixed": scores, "best fixed": best}
    yield {"choices": choices}

    length = settings.trial_epochs
    trials = {
        f"{name}, bounds x {part:g}, tail {tail:g}": cyclical(
            bounds, (part, tail), momenta, length * steps
        )
        for name, momenta in MOMENTA.items()
        for part, tail in SHAPES
    }
    trained = stages.train("CLR shapes", trials, choosing, seeds=1, epochs=length)
    scores = trained.scores("val_accuracy")
    by_shape = np.reshape(list(scores.values()), (len(MOMENTA), len(SHAPES)))
    shape = SHAPES[int(by_shape.mean(axis=0).argmax())]
    choices = choices | {"CLR": scores, "best shape": shape, "bounds": bounds}
    yield {"choices": choices}

    # The final runs, on the test images.
    final_data = choosing._replace(test=data.test)
    final: list[dict[str, Any]] = []
    for epochs in settings.epochs:
        arms = {
            name: cyclical(bounds, shape, momenta, epochs * steps)
            for name, momenta in MOMENTA.items()
        }
        if epochs == longest:
            baseline = replace(grid[best], role="baseline")
            arms = {
                "tutorial's SGD": fixed(0.01, 0.0),
                "best fixed rate": baseline,
                **arms,
            }
        stage = f"final {epochs} epoch{'s' * (epochs > 1)}"
        history = stages.train(
            stage, arms, final_data, seeds=settings.seeds, epochs=epochs
        )
        figures = history.to_json()
        for name, arm in arms.items():
            row = {"arm": name, "role": arm.role, "epochs": epochs, "about": arm.about}
            final.append(row | figures[name])
        yield {"final": list(final)}


def explore(settings: Settings, images: Images) -> dict[str, Any]:
    """The range tests' curves, what the rules read from them, and their cost."""
    steps, batch_size = settings.range_steps, settings.batch_size
    tests = range_tests(
        images, seeds=settings.seeds, steps=steps, batch_size=batch_size
    )
    cost = cost_ratio(images, steps=steps, batch_size=batch_size)
    return {"range_test": tests, "range_test_cost": cost}

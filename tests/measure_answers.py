"""What the suggested bounds are worth where the largest stable rate is known.

python tests/measure_answers.py [quadratics [thousands]] [answers]

Without words it measures all, in about ten minutes on two cores; with PYTHONPATH it
measures another checkout of the packages, such as an older one, by the same means.

quadratics  max_lr over the largest stable rate, which is known: 2 / L, with momentum m
            2 (1 + m) / L. Random curvatures, rates and starts; as many thousands as are
            asked for (50) of plain gradient descent in 100 steps, a thousand else.
answers     max_lr over the largest rate that improves on the start in 100 steps, and
            what four cycles between the suggested bounds do, on four seeds.
"""

import functools
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax

sys.path.insert(0, str(Path(__file__).parent / "clr_optax" / "range"))

from range_answers import OPTIMIZERS, PROBLEMS, cycles, train
from range_problems import quadratic

from clr_core import suggest_bounds
from clr_optax import lr_range_test

SIZES = (1, 5, 20)


def quadratics(thousands=50):
    for name, momentum in (
        ("SGD", 0.0),
        ("momentum 0.9", 0.9),
        ("momentum 0.95", 0.95),
    ):
        optimizer = functools.partial(optax.sgd, momentum=momentum or None)
        for steps in (100, 200, 400):
            for size in SIZES:
                most = steps == 100 and not momentum
                count = -(-thousands // len(SIZES)) if most else 1
                shares = bowls(size, steps, optimizer, 2 * (1 + momentum), count)
                known = shares[np.isfinite(shares)]
                low, middle, high = np.percentile(known, [0, 50, 100])
                print(
                    f"{name}, {steps} steps, {size:2} directions: {known.size} of "
                    f"{shares.size} read, {(known >= 1).sum()} above the limit, max_lr "
                    f"over it {low:.3f} {middle:.3f} {high:.3f} (least, median, most)"
                )


def bowls(size, steps, optimizer, factor, thousands):
    """Returns max_lr over the limit of so many thousands of random quadratics."""

    @jax.jit
    @jax.vmap
    def share(curvatures, start, below, above):
        limit = factor / curvatures[0]
        batches = curvatures[None, None], jnp.zeros((1, 1, size))
        test = lr_range_test(
            quadratic,
            start,
            batches,
            min_lr=limit * 10**-below,
            max_lr=limit * 10**above,
            num_steps=steps,
            optimizer=optimizer,
        )
        return suggest_bounds(test.lrs, test.losses)[1] / limit

    shares = []
    for seed in range(thousands):
        rng = np.random.default_rng([size, seed])
        scale, spread = rng.uniform(-3, 3, (1000, 1)), rng.uniform(0, 3, (1000, 1))
        curvatures = 10 ** (scale - spread * rng.random((1000, size)))
        curvatures[:, :1] = 10**scale
        start = rng.uniform(0.3, 3, (1000, size)) * rng.choice([-1, 1], (1000, size))
        ends = rng.uniform(2, 5, 1000), rng.uniform(1.5, 4, 1000)
        shares.append(share(*map(jnp.float32, (curvatures, start, *ends))))
    return np.concatenate(shares)


def answers(seeds=4):
    grid = jnp.float32(2.0 ** (np.arange(-26, 10) / 2))
    keys = jax.random.split(jax.random.key(0), seeds)
    for name, problem in PROBLEMS.items():
        for optimizer_name, optimizer in OPTIMIZERS.items():
            fixed = functools.partial(train, problem, optimizer, steps=100)
            ends = jax.jit(jax.vmap(jax.vmap(fixed, (0, None)), (None, 0)))(grid, keys)
            improved = np.asarray(ends[..., -20:].mean(-1) < ends[..., 0])
            stable = np.array([grid[row.nonzero()[0].max()] for row in improved])

            test = functools.partial(cycles, problem, optimizer)
            max_lr, losses = map(np.asarray, jax.jit(jax.vmap(test))(keys))
            known = np.isfinite(max_lr)
            low, middle, high = np.percentile((max_lr / stable)[known], [0, 50, 100])
            end = losses[known, -1] / losses[known, 0]
            print(
                f"{name:20} {optimizer_name:13} read {known.sum()} of {seeds}, "
                f"max_lr / stable {low:.4f} {middle:.4f} {high:.4f}, "
                f"after four cycles at most {end.max():.3f} of the start, "
                f"improved {(end < 1).sum()} of {known.sum()}",
                flush=True,
            )


if __name__ == "__main__":
    print(sys.modules["clr_optax"].__file__)
    words = sys.argv[1:] or ["quadratics", "answers"]
    if "quadratics" in words:
        quadratics(*(int(word) for word in words if word.isdigit()))
    if "answers" in words:
        answers()

"""How far the reading of a range test can be believed, in figures.

python tests/measure_reading.py [stop] [noise] [early] [quadratics] [answers]

Without words it measures all, in about half an hour on two cores; with PYTHONPATH it
measures another checkout of the packages, such as an older one, by the same means.

stop        Linear regression from zero, 100 seeds for each batch size. Too early: the
            test stopped at less than a tenth of the rate at which the loss over all
            examples left four times its best for good. Wasted: the steps between the
            one at which it did, above where it started, and the stop.
noise       Of how many flat curves bounds are read, and of how many that fall by 1.5.
early       The bounds of curves that mislead, and what is said of them.
quadratics  max_lr over the largest stable rate, which is known: 2 / L, with momentum m
            2 (1 + m) / L. Random curvatures, rates and starts.
answers     max_lr over the largest rate that improves on the start in 200 steps, and
            what four cycles between the suggested bounds do.
"""

import functools
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax

sys.path.insert(0, str(Path(__file__).parent / "clr_optax"))

from answers import OPTIMIZERS, PROBLEMS, curve, line, line_loss, train
from range_problems import quadratic

from clr_core import clr, suggest_bounds
from clr_optax import lr_range_test

try:
    from clr_core._reading import reservations
except ImportError:  # as it was before there were any

    def reservations(lrs, losses):
        return ()


def stop():
    for steps in (100, 1000):
        for noise in (0.0, 0.5, 2.0):
            for size in (1, 2, 4, 8, 16, 32):
                early, waste = stops(steps, size)(noise)
                middle, most = np.percentile(waste, [50, 95]) / steps
                print(
                    f"{steps:4} steps, noise {noise}, batches of {size:2}: "
                    f"{early:3} of 100 too early, "
                    f"wasted {middle:.1%} (median), {most:.1%} (19 of 20)"
                )


@functools.cache
def stops(steps, size):
    """Returns a function from the targets' noise to early stops and wasted steps."""
    lrs = np.geomspace(1e-6, 100, steps)

    @jax.jit
    @functools.partial(jax.vmap, in_axes=(0, None))
    def run(key, noise):
        params, data = line(key, noise=noise)
        order = jax.random.randint(jax.random.fold_in(key, 1), (steps, size), 0, 256)
        batches = jax.tree.map(lambda a: a[order], data)
        limits = {"max_lr": 100.0, "num_steps": steps}
        test = lr_range_test(line_loss, params, batches, **limits)

        def step(params, x):
            lr, batch = x
            grads = jax.grad(line_loss)(params, batch)
            return params - lr * grads, line_loss(params, data)

        whole = jax.lax.scan(step, params, (jnp.float32(lrs), batches))[1]
        return test.num_finite, whole

    def measure(noise):
        seen, whole = map(
            np.asarray, run(jax.random.split(jax.random.key(0), 100), noise)
        )
        whole = np.where(np.isfinite(whole), whole, np.inf)
        over = whole > 4 * np.minimum.accumulate(whole, 1)
        risen = left_for_good(over)
        diverged = left_for_good(over & (whole > whole[:, :1]))
        stopped = seen < steps
        last = lrs[np.minimum(seen, steps - 1)]
        early = stopped & (last < lrs[np.minimum(risen, steps - 1)] / 10)
        return early.sum(), np.maximum(seen - diverged, 0)[~early]

    return measure


def left_for_good(over):
    """Returns the first index from which on a row is true to its end."""
    return np.where(over, 0, np.arange(over.shape[1]) + 1).max(1)


def flat(kind, curves, size, rng):
    values = rng.normal(size=(curves, size))
    if kind == "exponential":
        return rng.exponential(size=(curves, size))
    if kind == "chi-square":
        return values**2
    if kind == "random walk":
        return values.cumsum(1)
    if kind == "AR 0.9":
        for i in range(1, size):
            values[:, i] = 0.9 * values[:, i - 1] + 0.19**0.5 * values[:, i]
    return values


def noise():
    rng = np.random.default_rng(0)
    for size in (30, 100, 300, 1000):
        lrs = np.geomspace(1e-7, 10, size)
        read = jax.jit(jax.vmap(lambda row, lrs=lrs: suggest_bounds(lrs, row)[0]))
        texts = []
        for kind in ("white", "exponential", "chi-square", "AR 0.9", "random walk"):
            share = np.isfinite(read(np.float32(flat(kind, 2000, size, rng)))).mean()
            texts.append(f"{kind} {share:.1%}")
        print(f"{size:4} points, flat, read: {', '.join(texts)}")
        texts = []
        for scale in (0.15, 0.3, 0.6):
            losses = fall(lrs, 1.5) + scale * rng.normal(size=(1000, size))
            texts.append(
                f"noise {scale} {np.isfinite(read(np.float32(losses))).mean():.1%}"
            )
        print(f"{size:4} points, fall of 1.5, read: {', '.join(texts)}")


def fall(lrs, depth, centre=-2.5):
    losses = 0.5 + depth / (1 + np.exp(4 * (np.log10(lrs) - centre)))
    return losses + np.where(lrs > 0.3, 2 * (lrs / 0.3 - 1), 0)


def early():
    lrs, index = np.geomspace(1e-6, 10, 100), np.arange(100)
    plain = fall(lrs, 1.8, -2.0)
    few = np.geomspace(1e-6, 10, 14)
    down = 2.3 - 1.8 * np.minimum(index / 70, 1)
    curves = {
        "plain, falls from 1e-3 to 1e-1": (lrs, plain),
        "settling over 6 points": (lrs, plain + 6 * 0.6**index * (index < 6)),
        "settling over 9 points": (lrs, plain + 10 * 0.7**index * (index < 9)),
        "falls from the first": (lrs, down + np.expm1((index - 80).clip(0) / 3)),
        "falls to the end": (lrs, 0.5 + 1.8 / (1 + np.exp(4 * np.log10(lrs)))),
        "stopped after 40 of 100": (
            lrs,
            np.where(
                index < 40, np.interp(index, [15, 30, 33, 34], [2, 0.5, 0.5, 6]), np.nan
            ),
        ),
        "14 points": (few, fall(few, 1.8, -2.0)),
    }
    for name, (rates, losses) in curves.items():
        base_lr, max_lr = suggest_bounds(rates, losses)
        told = "; ".join(reservations(rates, losses)) or "nothing said"
        print(f"{name:31} {base_lr:.1e} to {max_lr:.1e}, {told}")


def quadratics():
    for name, momentum in (("SGD", 0.0), ("momentum 0.9", 0.9)):
        optimizer = functools.partial(optax.sgd, momentum=momentum or None)
        for steps in (100, 200, 400):
            for size in (1, 5, 20):
                count = 17 if steps == 100 and not momentum else 1
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


def answers(seeds=8):
    grid = jnp.float32(2.0 ** (np.arange(-36, 14) / 3))
    keys = jax.random.split(jax.random.key(0), seeds)
    for name, problem in PROBLEMS.items():
        for optimizer_name, optimizer in OPTIMIZERS.items():
            fixed = functools.partial(train, problem, optimizer, steps=200)
            ends = jax.jit(jax.vmap(jax.vmap(fixed, (0, None)), (None, 0)))(grid, keys)
            improved = np.asarray(ends[..., -20:].mean(-1) < ends[..., 0])
            stable = np.array([grid[row.nonzero()[0].max()] for row in improved])

            def cycles(key, problem=problem, optimizer=optimizer):
                limits = {"min_lr": 1e-6, "max_lr": 100.0}
                test = curve(lr_range_test, problem, optimizer, key, 100, **limits)
                base_lr, max_lr = suggest_bounds(test.lrs, test.losses)
                schedule = functools.partial(
                    clr, base_lr=base_lr, max_lr=max_lr, step_size=50
                )
                key = jax.random.fold_in(key, 1)
                return max_lr, train(problem, optimizer, schedule, key, 400)

            max_lr, losses = map(np.asarray, jax.jit(jax.vmap(cycles))(keys))
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


MEASURES = (stop, noise, early, quadratics, answers)

if __name__ == "__main__":
    for measure in MEASURES:
        if len(sys.argv) < 2 or measure.__name__ in sys.argv:
            print(f"\n{measure.__name__}", flush=True)
            measure()

"""How far the reading of a range test can be believed, in figures.

python tests/measure_reading.py [easy] [stop] [noise] [misleading]

Without words it measures all, in some minutes; with PYTHONPATH it measures another
checkout of the packages, such as an older one, by the same means.

easy        Targets of 1, but of 0.1 in the first batch: how many points are left.
stop        Linear regression from zero, 100 seeds for each batch size. Too early: the
            test stopped at less than a tenth of the rate at which the loss over all
            examples left four times its best for good. Wasted: the steps between the
            one at which it did, above where it started, and the stop.
noise       Of how many flat curves bounds are read, and of how many that fall by 1.5.
misleading  The bounds of curves that mislead, and what is said of them.
"""

import functools
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

sys.path.insert(0, str(Path(__file__).parent / "clr_optax" / "range"))

from range_answers import line, line_loss

from clr_core import suggest_bounds
from clr_optax import lr_range_test

try:
    from clr_core._reading import reservations
except ImportError:  # as it was before there were any

    def reservations(lrs, losses):
        return ()


def easy():
    targets = jnp.ones((100, 2, 1)).at[0].set(0.1)

    def loss_fn(params, targets):
        return jnp.mean((params - targets) ** 2)

    test = lr_range_test(loss_fn, jnp.zeros(()), targets, max_lr=0.1)
    print(f"{int(test.num_finite)} of 100 points are left")


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


def misleading():
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


MEASURES = {"easy": easy, "stop": stop, "noise": noise, "misleading": misleading}

if __name__ == "__main__":
    print(sys.modules["clr_optax"].__file__)
    for name in sys.argv[1:] or MEASURES:
        print(f"\n{name}", flush=True)
        MEASURES[name]()

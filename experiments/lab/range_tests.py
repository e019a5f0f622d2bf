"""The learning-rate range test on the tutorial's network, over seeds, and its cost."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
import optax

from clr_core import suggest_bounds, suggest_lr
from clr_optax import RangeTest, lr_range_test
from lab import network
from lab.data import Images

Rule = Literal["valley", "slide", "steep", "minimum", "smith"]
RULES: tuple[Rule, ...] = get_args(Rule)
MIN_LR, MAX_LR = 1e-5, 10.0
OPTIMIZERS = {
    "SGD": optax.sgd,
    "SGD, momentum 0.9": partial(optax.sgd, momentum=0.9),
}


def range_tests(
    images: Images, *, seeds: int, steps: int, batch_size: int
) -> dict[str, Any]:
    """Each optimizer's curves and what the rules read from them, for the JSON."""
    results = {}
    for name, optimizer in OPTIMIZERS.items():
        curves = stacked(
            images, optimizer, seeds=seeds, steps=steps, batch_size=batch_size
        )
        read: dict[str, Callable[..., jax.Array]] = {
            rule: partial(suggest_lr, rule=rule) for rule in RULES
        }
        read["base_lr"] = lambda lrs, losses: suggest_bounds(lrs, losses)[0]
        results[name] = {
            "lrs": curves.lrs[0].tolist(),
            "losses": curves.losses.tolist(),
            "smoothed": curves.smoothed.tolist(),
            "suggestions": {
                rule: spread(jax.vmap(one)(curves.lrs, curves.losses))
                for rule, one in read.items()
            },
        }
    return results


def stacked(
    images: Images, optimizer: Any, *, seeds: int, steps: int, batch_size: int
) -> RangeTest:
    """The curves of all seeds, with a leading axis over them."""

    @jax.jit
    def curves_of(images: Images, seeds: jax.Array) -> Any:
        test = partial(_one_test, images, optimizer, steps, batch_size)
        # one seed after the other: side by side, their different weights cost more
        return jax.lax.map(test, seeds)

    stack: RangeTest = curves_of(images, jnp.arange(seeds))
    return stack


def spread(by_seed: jax.Array) -> dict[str, Any]:
    """Median, lowest and highest over the seeds whose curve could be read."""
    values = np.asarray(by_seed, float)
    known = values[np.isfinite(values)]
    if not known.size:
        known = np.array([np.nan])
    return {
        "median": float(np.median(known)),
        "lowest": float(known.min()),
        "highest": float(known.max()),
        "n": int(np.isfinite(values).sum()),
        "by_seed": values.tolist(),
    }


def cost_ratio(
    images: Images, *, steps: int, batch_size: int, repeats: int = 5
) -> dict[str, Any]:
    """Seconds of a range test over those of as many plain steps, compile time apart."""
    params, batches, key = _start(images, steps, batch_size, 0)
    loss_fn = partial(_loss, jax.tree.map(jnp.asarray, images))
    optimizer = optax.sgd(0.01)

    @jax.jit
    def plain_steps(params: Any, batches: jax.Array, key: jax.Array) -> Any:
        def step(carry: Any, x: Any) -> tuple[Any, jax.Array]:
            params, opt_state = carry
            i, batch = x
            loss, gradients = jax.value_and_grad(loss_fn)(
                params, batch, jax.random.fold_in(key, i)
            )
            updates, opt_state = optimizer.update(gradients, opt_state, params)
            return (optax.apply_updates(params, updates), opt_state), loss

        carry = params, optimizer.init(params)
        return jax.lax.scan(step, carry, (jnp.arange(steps), batches))

    # rates that never stop the test: all its steps are worth their time
    test = partial(lr_range_test, loss_fn, min_lr=1e-3, max_lr=0.01, num_steps=steps)
    ways: dict[str, Callable[[], Any]] = {
        "range_test_seconds": lambda: test(params, batches, key=key),
        "plain_seconds": lambda: plain_steps(params, batches, key),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for repeat in range(repeats + 1):
        for name, run in ways.items():
            started = time.perf_counter()
            jax.block_until_ready(run())
            if repeat:  # the first one compiles
                seconds[name].append(time.perf_counter() - started)
    # side by side in time, so that other work on the machine falls on both
    ratios = np.divide(seconds["range_test_seconds"], seconds["plain_seconds"])
    return {"steps": steps, **seconds, "ratio": float(np.median(ratios))}


def _one_test(
    images: Images, optimizer: Any, steps: int, batch_size: int, seed: jax.Array
) -> RangeTest:
    params, batches, key = _start(images, steps, batch_size, seed)
    return lr_range_test(
        partial(_loss, jax.tree.map(jnp.asarray, images)),
        params,
        batches,
        min_lr=MIN_LR,
        max_lr=MAX_LR,
        num_steps=steps,
        optimizer=optimizer,
        key=key,
    )


def _start(
    images: Images, steps: int, batch_size: int, seed: Any
) -> tuple[Any, jax.Array, jax.Array]:
    """A seed's weights, its batches as rows of indices, and its key for dropout."""
    key = jax.random.key(seed)
    params = network.initial_weights(key)
    size, count = steps * batch_size, len(images.images)
    epochs = jax.random.split(key, -(-size // count))
    order = jax.vmap(partial(jax.random.permutation, x=count))(epochs)
    return params, order.reshape(-1)[:size].reshape(steps, batch_size), key


def _loss(data: Images, params: Any, indices: jax.Array, key: jax.Array) -> jax.Array:
    """The mean cross-entropy of a batch, as training has it."""
    keys = jax.random.split(key, len(indices))
    losses, _ = network.score(params, data.images[indices], data.labels[indices], keys)
    return losses.mean()

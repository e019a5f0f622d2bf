"""What a range test costs beside plain training, in time and in memory.

python tests/measure_range_test.py

Time: each network is trained by a loop as its user would write it (a jitted step with
donated arguments, a fixed rate) and by the range test, in turns, so that other work on
the machine falls on both. Loops are compared over the same loader, and over the same
stacked batches in one program. Compile time is apart, and no test stops early. On a
machine that does other work as well, believe the ratio of the fastest runs and that of
the CPU seconds rather than the median of the pairs. A test of 100 steps shows what it
costs to begin one, a test of 1,000 what each step costs.

Memory: the most that a process of its own held, above what it held before, for few and
for many batches of 2 MB, stacked and streamed.
"""

import functools
import itertools
import resource
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax

from clr_optax import lr_range_test

PAIRS = {100: 25, 1000: 7}  # of tests of so many steps
LIMITS = {"min_lr": 1e-6, "max_lr": 2e-6, "stop_factor": None}


def cross_entropy(logits, labels):
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()


def dense(params, batch):
    x, labels = batch
    for name in ("first", "second"):
        x = jax.nn.relu(x @ params[name]["w"] + params[name]["b"])
    return cross_entropy(x @ params["last"]["w"] + params["last"]["b"], labels)


def convolutional(params, batch):
    x, labels = batch
    x = x.reshape(-1, 28, 28, 1)
    layout = ("NHWC", "HWIO", "NHWC")
    for name in ("first", "second"):
        x = jax.lax.conv_general_dilated(
            x, params[name]["w"], (2, 2), "SAME", dimension_numbers=layout
        )
        x = jax.nn.relu(x + params[name]["b"])
    x = x.mean((1, 2))
    return cross_entropy(x @ params["last"]["w"] + params["last"]["b"], labels)


def weights(*shapes):
    names = ("first", "second", "last")
    rng = np.random.default_rng(0)
    return {
        name: {
            "w": jnp.asarray(0.05 * rng.normal(size=shape), jnp.float32),
            "b": jnp.zeros(shape[-1]),
        }
        for name, shape in zip(names, shapes, strict=True)
    }


NETWORKS = {
    "dense, 270,000 weights": (dense, weights((784, 256), (256, 256), (256, 10))),
    "convolutional, 20,000 weights": (
        convolutional,
        weights((5, 5, 1, 32), (3, 3, 32, 64), (64, 10)),
    ),
}
OPTIMIZERS = {"sgd": optax.sgd, "adam": optax.adam}


def loader(number, size=64):
    """Batches from memory, as a simple loader cuts them."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(20 * size, 784)).astype(np.float32)
    labels = rng.integers(0, 10, 20 * size)
    for i in range(number):
        rows = slice(i % 20 * size, (i % 20 + 1) * size)
        yield x[rows], labels[rows]


def own_step(loss_fn, optimizer):
    def step(params, opt_state, batch):
        loss, grads = jax.value_and_grad(loss_fn)(params, batch)
        updates, opt_state = optimizer.update(grads, opt_state, params)
        return optax.apply_updates(params, updates), opt_state, loss

    return step


def own_loop(loss_fn, optimizer, params, steps):
    """A function that trains over a loader as its user would."""
    optimizer = optimizer(1e-6)
    step = jax.jit(own_step(loss_fn, optimizer), donate_argnums=(0, 1))

    def train():
        now, losses = jax.tree.map(jnp.copy, params), []
        opt_state = optimizer.init(now)
        for batch in loader(steps):
            now, opt_state, loss = step(now, opt_state, batch)
            losses.append(loss)
        return losses

    return train


def own_scan(loss_fn, optimizer, params, batches, steps):
    """A function that trains over stacked batches in one program."""
    optimizer = optimizer(1e-6)
    step = own_step(loss_fn, optimizer)

    @jax.jit
    def train(params, batches):
        def body(carry, i):
            batch = jax.tree.map(lambda a: a[i % len(a)], batches)
            *carry, loss = step(*carry, batch)
            return tuple(carry), loss

        carry = params, optimizer.init(params)
        return jax.lax.scan(body, carry, jnp.arange(steps))

    return lambda: train(params, batches)


def ratios(ours, plain, steps):
    """Ours over plain: median of the pairs, of the fastest, of the CPU seconds."""
    runs, seconds = (ours, plain), [[], []]
    for pair in range(PAIRS[steps] + 1):
        for which in (0, 1) if pair % 2 else (1, 0):
            wall, cpu = time.perf_counter(), time.process_time()
            jax.block_until_ready(runs[which]())
            took = time.perf_counter() - wall, time.process_time() - cpu
            if pair:  # the first pair compiles
                seconds[which].append(took)
    ours, plain = np.array(seconds)
    pairs, cpu = np.median(ours / plain, axis=0)
    return pairs, ours[:, 0].min() / plain[:, 0].min(), cpu, plain[:, 0].min() / steps


def print_times():
    stacked = jax.tree.map(lambda *a: jnp.stack(a), *loader(20))
    print(
        "| batches | steps | network | optimizer | pairs | fastest | CPU | plain step |"
    )
    networks = itertools.product(NETWORKS.items(), PAIRS)
    for (name, (loss_fn, params)), steps in networks:
        for rule, optimizer in OPTIMIZERS.items():
            test = functools.partial(
                lr_range_test,
                loss_fn,
                params,
                optimizer=optimizer,
                num_steps=steps,
                **LIMITS,
            )
            ways = {
                "streamed": (
                    lambda test=test, steps=steps: test(loader(steps)),
                    own_loop(loss_fn, optimizer, params, steps),
                )
            }
            if loss_fn is dense:  # in a scan a CPU convolves several times slower
                ways["stacked"] = (
                    lambda test=test: test(stacked),
                    own_scan(loss_fn, optimizer, params, stacked, steps),
                )
            for way, runs in ways.items():
                *found, step = ratios(*runs, steps)
                row = " | ".join(f"{ratio:.3f}" for ratio in found)
                text = f"| {way} | {steps} | {name} | {rule} | {row} | "
                print(text + f"{1e3 * step:.2f} ms |", flush=True)


def print_growth(way, number):
    """Prints the peak of this process beyond what it held before, in MB."""
    rng = np.random.default_rng(0)
    chunk = rng.normal(size=(256, 2048)).astype(np.float32)

    def loss_fn(params, batch):
        return jnp.mean((batch @ params - 1) ** 2)

    def run(number):
        batches = (chunk + i for i in range(number))
        if way == "stacked":
            batches = np.stack(list(batches))
        test = lr_range_test(
            loss_fn, jnp.zeros(2048), batches, num_steps=number, **LIMITS
        )
        return test.losses.block_until_ready()

    run(2)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    run(number)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"| {way} | {number} | {(after - before) / 1024:.0f} MB |", flush=True)


def print_memory():
    print("| batches of 2 MB | number | more at the peak |")
    for way in ("stacked", "streamed"):
        for number in (10, 1000):
            command = [sys.executable, __file__, way, str(number)]
            subprocess.run(command, check=True)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print_growth(sys.argv[1], int(sys.argv[2]))
    else:
        print_memory()
        print_times()

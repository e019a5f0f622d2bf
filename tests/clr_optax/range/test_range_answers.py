"""Problems of every kind are trained with what the range test suggests for them."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from clr_core import clr, suggest_bounds
from clr_optax import lr_range_test

EXAMPLES = 256


class Problem(NamedTuple):
    """Params and data from a key, a loss of params and a batch, and a batch size."""

    begin: Callable[[jax.Array], tuple[Any, Any]]
    loss: Callable[[Any, Any], jax.Array]
    batch_size: int

    def order(self, key, steps):
        """Returns the indices of the batches of so many steps."""
        return jax.random.randint(key, (steps, self.batch_size), 0, EXAMPLES)


def bowl(key, size=20):
    spread, places, start = jax.random.split(key, 3)
    spread = jax.random.uniform(spread, minval=1.0, maxval=3.0)
    curvatures = 10 ** (-spread * jax.random.uniform(places, (size,)))
    params = jax.random.normal(start, (size,))
    return params, jnp.tile(curvatures.at[0].set(1), (EXAMPLES, 1))


def bowl_loss(params, curvatures):
    return jnp.mean(curvatures @ params**2) / 2


def line(key, size=10, noise=0.25):
    weights, inputs, errors = jax.random.split(key, 3)
    weights = jax.random.normal(weights, (size,)) / size**0.5
    inputs = jax.random.normal(inputs, (EXAMPLES, size))
    errors = noise * jax.random.normal(errors, (EXAMPLES,))
    return jnp.zeros(size), (inputs, inputs @ weights + errors)


def line_loss(params, batch):
    inputs, targets = batch
    return jnp.mean((inputs @ params - targets) ** 2) / 2


def yes_or_no(key, size=10):
    _, (inputs, scores) = line(key, size, noise=0.3)
    return jnp.zeros(size), (inputs, (scores > 0).astype(jnp.float32))


def yes_or_no_loss(params, batch):
    inputs, targets = batch
    scores = inputs @ params
    return jnp.mean(jax.nn.softplus(scores) - targets * scores)


def layers(key, sizes):
    """Returns weights of He's size, and zero biases."""
    keys = jax.random.split(key, len(sizes) - 1)
    return [
        (jax.random.normal(k, (a, b)) * (2 / a) ** 0.5, jnp.zeros(b))
        for k, a, b in zip(keys, sizes[:-1], sizes[1:], strict=True)
    ]


def perceptron(key, size=10, classes=5):
    teacher, inputs, student = jax.random.split(key, 3)
    inputs = jax.random.normal(inputs, (EXAMPLES, size))
    labels = forward(layers(teacher, (size, 16, classes)), inputs).argmax(1)
    return layers(student, (size, 32, 32, classes)), (inputs, labels)


def forward(params, x):
    for weights, biases in params[:-1]:
        x = jax.nn.relu(x @ weights + biases)
    weights, biases = params[-1]
    return x @ weights + biases


def perceptron_loss(params, batch):
    inputs, labels = batch
    logits = forward(params, inputs)
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()


def pictures(key, classes=4):
    shapes, labels, noise, wrong, filters, dense = jax.random.split(key, 6)
    labels = jax.random.randint(labels, (EXAMPLES,), 0, classes)
    images = jax.random.normal(shapes, (classes, 8, 8, 1))[labels]
    images += 2 * jax.random.normal(noise, images.shape)
    labels = jnp.where(jax.random.bernoulli(wrong, 0.2, labels.shape), 0, labels)
    params = jax.random.normal(filters, (3, 3, 1, 8)) / 3, layers(dense, (72, classes))
    return params, (images, labels)


def pictures_loss(params, batch):
    filters, dense = params
    images, labels = batch
    layout = ("NHWC", "HWIO", "NHWC")
    x = jax.lax.conv_general_dilated(
        images, filters, (2, 2), "VALID", dimension_numbers=layout
    )
    logits = forward(dense, jax.nn.relu(x).reshape(len(labels), -1))
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()


PROBLEMS = {
    "quadratic": Problem(bowl, bowl_loss, 1),
    "linear regression": Problem(line, line_loss, 32),
    "logistic regression": Problem(yes_or_no, yes_or_no_loss, 32),
    "MLP": Problem(perceptron, perceptron_loss, 32),
    "CNN": Problem(pictures, pictures_loss, 32),
}
OPTIMIZERS = {
    "SGD": optax.sgd,
    "momentum 0.9": functools.partial(optax.sgd, momentum=0.9),
    "Adam": optax.adam,
    "AdamW": optax.adamw,
    "Lion": optax.lion,
}


def train(problem, optimizer, rate, key, steps):
    """Returns the loss over all examples at the start and after each step.

    The rate is a number or a schedule.
    """
    begin, order = jax.random.split(key)
    params, data = problem.begin(begin)
    optimizer = optimizer(rate)

    def step(carry, indices):
        params, state = carry
        batch = jax.tree.map(lambda a: a[indices], data)
        grads = jax.grad(problem.loss)(params, batch)
        updates, state = optimizer.update(grads, state, params)
        params = optax.apply_updates(params, updates)
        return (params, state), problem.loss(params, data)

    carry = params, optimizer.init(params)
    order = problem.order(jax.random.fold_in(order, 1), steps)
    _, losses = jax.lax.scan(step, carry, order)
    return jnp.concatenate([problem.loss(params, data)[None], losses])


def cycles(problem, optimizer, key, steps=100):
    """Returns max_lr of a range test, and the losses of four cycles of as many steps.

    max_lr is NaN, and so are the losses, where the curve is refused.
    """
    begin, order = jax.random.split(key)
    params, data = problem.begin(begin)
    batches = jax.tree.map(lambda a: a[problem.order(order, steps)], data)
    test = lr_range_test(
        problem.loss,
        params,
        batches,
        min_lr=1e-6,
        max_lr=100.0,
        num_steps=steps,
        optimizer=optimizer,
    )
    base_lr, max_lr = suggest_bounds(test.lrs, test.losses)
    schedule = functools.partial(
        clr, base_lr=base_lr, max_lr=max_lr, step_size=steps // 2
    )
    key = jax.random.fold_in(key, 1)
    return max_lr, train(problem, optimizer, schedule, key, 4 * steps)


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("problem", PROBLEMS)
def test_cycles_between_the_suggested_bounds_improve(problem, optimizer):
    train = functools.partial(cycles, PROBLEMS[problem], OPTIMIZERS[optimizer])
    max_lr, losses = jax.jit(jax.vmap(train))(jax.random.split(jax.random.key(0), 8))
    read = np.isfinite(max_lr)
    assert read.sum() >= 6
    assert np.isfinite(losses[read]).all()
    assert (losses[read, -1] < losses[read, 0]).all()

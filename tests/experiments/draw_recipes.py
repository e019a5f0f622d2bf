"""Draws the pictures of experiments/RECIPES.md, by its own code on Fashion-MNIST.

And that of the README's range test, by the README's code.

python tests/experiments/draw_recipes.py
"""

import itertools
import re
import sys

import jax
import jax.numpy as jnp
import matplotlib
import numpy as np
import optax
from recipe_code import FILE, batches_of, code_of, run

sys.path.insert(0, str(FILE.parent))
from lab.data import load

PICTURES = FILE.parent / "results" / "recipes"
STEPS, BATCH, HELD_OUT = 100, 128, 1000


def init(key):
    """Returns the weights of a network with one hidden layer."""
    inner, outer = jax.random.split(key)
    he = jax.nn.initializers.he_normal()
    return {"inner": he(inner, (784, 64)), "outer": he(outer, (64, 10))}


def predict(params, x):
    return jax.nn.relu(x @ params["inner"]) @ params["outer"]


def loss_fn(params, batch):
    logits = predict(params, batch["x"])
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, batch["y"])
    return losses.mean()


def data():
    """Returns stacked batches, and held-out images and labels."""
    images, labels = load().train
    x, y = jnp.asarray(images.reshape(-1, 784) / np.float32(255)), jnp.asarray(labels)
    size = STEPS * BATCH
    stacked = {
        "x": x[:size].reshape(STEPS, BATCH, 784),
        "y": y[:size].reshape(STEPS, BATCH),
    }
    return stacked, x[-HELD_OUT:], y[-HELD_OUT:]


def main():
    matplotlib.use("Agg")
    from matplotlib import pyplot

    batches, x_val, y_val = data()
    params = init(jax.random.key(0))
    loader = batches_of(**batches)

    def train(optimizer, steps):
        weights, losses = params, []
        state = optimizer.init(weights)

        @jax.jit
        def step(weights, state, batch):
            loss, gradient = jax.value_and_grad(loss_fn)(weights, batch)
            updates, state = optimizer.update(gradient, state, weights)
            return optax.apply_updates(weights, updates), state, loss

        for batch in itertools.islice(loader, steps):
            weights, state, loss = step(weights, state, batch)
            losses.append(float(loss))
        return losses

    own = {"loss_fn": loss_fn, "params": params, "batches": batches}
    pictures = {
        "A trainer that owns its loop": {"train": train},
        "Several seeds": {
            "loss_fn": lambda params, batch, key: loss_fn(params, batch),
            "init": init,
            "loader": loader,
        },
        "Validation accuracy": {
            "loss": loss_fn,
            "predict": predict,
            "x_val": x_val,
            "y_val": y_val,
            **own,
        },
        "Weight decay beside the rate": own,
    }
    PICTURES.mkdir(parents=True, exist_ok=True)
    readme = (FILE.parents[1] / "README.md").read_text()
    *_, code = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    run(code)["test"].plot().figure.savefig(PICTURES / "range_test.png")
    for heading, names in pictures.items():
        (code,) = code_of(heading)
        test = run(code, **names)["test"]
        file = PICTURES / f"{heading.lower().replace(' ', '_')}.png"
        pyplot.gcf().savefig(file)
        pyplot.close("all")
        print(file.name, test)


if __name__ == "__main__":
    main()

"""Training recipes take the rate of every step, in the real frameworks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from recipe_code import code_of, line, needs, run


def descend(weights, x, y) -> np.ndarray:
    """400 steps of gradient descent in float64; they do not end with a cycle."""
    for step in range(400):
        place = step % 120
        rate = 1e-3 + (1e-1 - 1e-3) * min(place, 120 - place) / 60
        weights = weights - rate * 2 * x.T @ (x @ weights - y) / len(y)
    return weights


@pytest.mark.parametrize("recipe", ["NumPy", "JAX without Optax"])
def test_no_framework_is_needed(recipe):
    x, y = line()
    (code,) = code_of(recipe)
    weights = run(code, x=x, y=y)["weights"]
    np.testing.assert_allclose(weights, descend(np.zeros(3), x, y), rtol=1e-5)


def test_flax_nnx_takes_the_rate_of_every_step():
    x, y = line()
    model = nnx.Linear(3, 1, use_bias=False, rngs=nnx.Rngs(0))
    expected = descend(np.asarray(model.kernel[:, 0], float), x[:8], y[:8])
    (code,) = code_of("Flax NNX")
    names = run(code, model=model)
    for _ in range(400):
        names["step"](model, names["optimizer"], x[:8], y[:8])
    np.testing.assert_allclose(model.kernel[:, 0], expected, rtol=1e-5)


@needs("equinox")
def test_equinox_takes_the_rate_of_every_step():
    import equinox as eqx

    x, y = line()
    model = eqx.nn.Linear(3, 1, use_bias=False, key=jax.random.key(0))
    expected = descend(np.asarray(model.weight[0], float), x[:8], y[:8])
    (code,) = code_of("Equinox")
    names = run(code, model=model)
    state = names["state"]
    for _ in range(400):
        model, state = names["step"](model, state, x[:8], y[:8])
    np.testing.assert_allclose(model.weight[0], expected, rtol=1e-5)


def test_the_state_tells_rate_and_momentum(capsys):
    (code,) = code_of("What is my rate now?")
    run(code, params=jnp.ones(2), batches=jnp.ones((120, 2)))
    printed = [
        list(map(float, row.split())) for row in capsys.readouterr().out.splitlines()
    ]
    place = np.arange(120) % 100
    height = np.minimum(place, 100 - place) / 50
    expected = np.stack([np.arange(120), 1e-3 + 0.099 * height, 0.95 - 0.1 * height], 1)
    np.testing.assert_allclose(printed, expected, rtol=1e-6)


def test_the_range_test_finds_bounds():
    curvature = jnp.array([1.0, 4.0])  # SGD diverges above 2 / 4

    def loss_fn(params, batch):
        return curvature @ (params - batch) ** 2 / 2

    (code,) = code_of("The LR range test")
    batches = jnp.zeros((1, 2))
    names = run(
        code, loss_fn=loss_fn, params=jnp.ones(2), batches=batches, steps_per_epoch=25
    )
    assert 0.5 / 4 < names["max_lr"] < 0.5
    assert 0 < names["base_lr"] < names["max_lr"]
    rates = names["schedule"](np.array([0, 100, 200]))
    low, high = float(names["base_lr"]), float(names["max_lr"])
    assert rates.tolist() == [low, high, low]

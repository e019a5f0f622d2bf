"""The code of experiments/RECIPES.md, as it stands there, in the real frameworks."""

import importlib.util
import re
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from clr_core import clr
from clr_optax import clr_schedule, momentum_schedule

FILE = Path(__file__).parents[2] / "experiments" / "RECIPES.md"
SLOPES = [1.0, -2.0, 0.5]
KERAS_WARNS = pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning:keras")
CYCLIC = ("triangular", 1.0), ("triangular2", 1.0), ("exp_range", 0.9998)


def code_of(heading: str) -> list[str]:
    """Returns the code blocks under a heading."""
    _, section = FILE.read_text().split(f"\n## {heading}\n")
    blocks = re.findall(r"```python\n(.*?)```", section.split("\n## ")[0], re.DOTALL)
    assert blocks
    return blocks


def run(code: str, **names: object) -> dict:
    """Runs code in a module of its own that has these names; returns all names."""
    names["__name__"] = "recipe"
    exec(compile(code, str(FILE), "exec"), names)
    return names


def needs(framework: str) -> pytest.MarkDecorator:
    missing = importlib.util.find_spec(framework) is None
    return pytest.mark.skipif(missing, reason=f"{framework} is not installed")


def line() -> tuple[np.ndarray, np.ndarray]:
    """Inputs, and the outputs of a linear function that a recipe is to learn."""
    x = np.random.default_rng(0).normal(0, 0.3, (32, 3)).astype(np.float32)
    return x, x @ np.array(SLOPES, np.float32)


def later(x: float) -> float:
    """A scale function that can be imported."""
    return 1 / (1 + x)


@pytest.fixture
def torch_model():
    import torch

    return torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Linear(4, 1))


def torch_step(names: dict, model) -> None:
    """A step of training, as a user writes it."""
    names["optimizer"].zero_grad()
    model(names["torch"].ones(2, 3)).sum().backward()
    names["optimizer"].step()
    names["after_batch"]()


def rates_and_momenta(optimizer) -> list[tuple[float, float]]:
    return [(group["lr"], group["momentum"]) for group in optimizer.param_groups]


@needs("torch")
@pytest.mark.parametrize(("mode", "gamma"), CYCLIC)
def test_pytorch_has_the_rates_and_momenta_of_its_own_cyclic_lr(
    torch_model, mode, gamma
):
    shape = {"step_size_down": 50, "mode": mode, "gamma": gamma}
    rates = [clr_schedule(1e-4, 1e-2, 201, **shape), clr_schedule(0.1, 3, 201, **shape)]
    momentum = momentum_schedule(0.7, 0.95, 201, **shape)
    ours = run(code_of("PyTorch")[1], model=torch_model, rates=rates, momentum=momentum)
    torch = ours["torch"]
    groups = [{"params": layer.parameters()} for layer in torch_model]
    peer = torch.optim.SGD(groups, lr=0.1, momentum=0.9)
    cyclic = torch.optim.lr_scheduler.CyclicLR(
        peer, [1e-4, 0.1], [1e-2, 3.0], 201, 50, mode, gamma, None, "cycle", True,
        base_momentum=0.7, max_momentum=0.95,
    )  # fmt: skip
    torch_step(ours, torch_model)
    peer.step()
    cyclic.step()
    here, there = [], []
    for _ in range(10_000):
        here.append(rates_and_momenta(ours["optimizer"]))
        there.append(rates_and_momenta(peer))
        ours["after_batch"]()
        cyclic.step()
    np.testing.assert_allclose(here, there, rtol=1e-6, atol=0)


@needs("torch")
def test_pytorch_schedules_survive_save_and_load(torch_model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    scaled = {"scale_fn": later, "scale_mode": "iterations"}
    rates = [clr_schedule(1e-4, 1e-2, 5), clr_schedule(1e-3, 0.1, 5, **scaled)]
    momentum = momentum_schedule(0.8, 0.9, 5)
    setup, use, save = code_of("PyTorch")
    first = run(setup, model=torch_model)
    first = run(use, **first | {"rates": rates, "momentum": momentum})
    for _ in range(7):
        torch_step(first, torch_model)
    second = run(save, **first)
    assert second["rates"] == rates
    assert second["rates"] is not rates

    model = type(torch_model)(*map(type(torch_model[0]), (3, 4), (4, 1)))
    second = run(use, **second | {"model": model})
    for name, part in second["saved"].items():
        if name != "rates":
            second[name].load_state_dict(part)
    for _ in range(20):
        torch_step(first, torch_model)
        torch_step(second, model)
        ours, loaded = (rates_and_momenta(x["optimizer"]) for x in (first, second))
        assert ours == loaded
    for weight, loaded in zip(
        torch_model.parameters(), model.parameters(), strict=True
    ):
        assert (weight == loaded).all()


@needs("keras")
@KERAS_WARNS
def test_keras_trains_saves_and_loads(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    define, use = code_of("Keras 3")
    names = run(define)
    keras = names["keras"]
    assert keras.backend.backend() == "jax"
    assert "tensorflow" not in sys.modules
    x, y = line()
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    names = run(use, **names | {"model": model, "x": x, "y": y})
    loaded = names["model"]
    assert loaded is not model
    assert isinstance(loaded.optimizer._learning_rate, names["CLR"])
    assert loaded.optimizer._learning_rate.schedule == names["rate"].schedule
    assert int(loaded.optimizer.iterations) == 4

    model.fit(x, y, batch_size=8, verbose=0, shuffle=False)
    loaded.fit(x, y, batch_size=8, verbose=0, shuffle=False)
    for weight, again in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, again)
    rate = float(loaded.optimizer.learning_rate)
    assert rate == float(clr(8, 1e-4, 1e-2, 2000, mode="triangular2"))


@needs("keras")
@KERAS_WARNS
def test_keras_takes_the_rate_of_every_step():
    names = run(code_of("Keras 3")[0])
    keras = names["keras"]
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    schedule = names["CLR"](base_lr=0.25, max_lr=1.0, step_size=3)
    model.compile(keras.optimizers.SGD(schedule), loss=lambda y, out: out)
    model.set_weights([np.zeros((1, 1))])
    model.fit(np.ones((8, 1)), np.ones((8, 1)), batch_size=1, verbose=0)
    rates = 0.25, 0.5, 0.75, 1, 0.75, 0.5, 0.25, 0.5
    assert model.get_weights()[0].item() == -sum(rates)  # the gradient is always 1


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

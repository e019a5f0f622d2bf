"""Recipes that measure curves measure what they claim, and read bounds from it."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from matplotlib import pyplot as plt
from recipe_code import (
    batches_of,
    check_output,
    code_of,
    line,
    run,
    split,
    triangle,
)

from clr_core import suggest_bounds
from clr_optax import lr_range_test

X, Y = line(256)
STACKED = {"x": split(X), "y": split(Y)}
BATCHES = batches_of(**STACKED)
SCALED = [jax.tree.map(lambda rows: rows / 0.3, batch) for batch in BATCHES]
PARAMS = {"w": jnp.zeros(3)}


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


def loss_fn(params, batch):
    return jnp.mean((batch["x"] @ params["w"] - batch["y"]) ** 2)


def losses_by_hand(*arguments, **named):
    """Returns the losses of a loop as Optax's users write it."""
    return by_hand(*arguments, **named)[0]


def by_hand(optimizer, rates, params=PARAMS, loss_fn=loss_fn, batches=BATCHES):
    """Returns the losses of such a loop, and the params after it."""
    state, losses = optimizer.init(params), []

    @jax.jit
    def step(params, state, batch):
        loss, gradient = jax.value_and_grad(loss_fn)(params, batch)
        updates, state = optimizer.update(gradient, state, params)
        return optax.apply_updates(params, updates), state, loss

    for _, batch in zip(rates, itertools.cycle(batches), strict=False):
        params, state, loss = step(params, state, batch)
        losses.append(loss)
    return np.array(losses), params


def check(test, losses):
    """The curve is these losses down to its lowest, from which rounding grows."""
    count = int(np.nanargmin(test.losses)) + 1
    assert count > 60
    np.testing.assert_allclose(test.losses[:count], losses[:count], 1e-5, 1e-9)


def test_plain_parameters(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (code,) = code_of("The LR range test")
    names = run(code, params=PARAMS, batches=SCALED, steps_per_epoch=4)
    test = names["test"]
    check_output(capsys.readouterr().out, "The LR range test", rtol=0.2)
    sgd = optax.sgd(lambda count: test.lrs[count])
    check(test, losses_by_hand(sgd, test.lrs, batches=SCALED))
    base_lr, max_lr = test.bounds()
    rates = names["schedule"](np.array([0, 16, 32]))
    np.testing.assert_allclose(rates, [base_lr, max_lr, base_lr], rtol=1e-6)
    assert (tmp_path / "range_test.png").read_bytes().startswith(b"\x89PNG")


def test_bounds_from_a_trainer_that_owns_its_loop():
    asked = []

    def train(optimizer, steps):
        asked.append(steps)
        return losses_by_hand(optimizer, range(steps)).tolist()

    (code,) = code_of("A trainer that owns its loop")
    names = run(code, train=train)
    assert asked == [100]
    rates = names["sweep"](np.arange(100))
    np.testing.assert_allclose(rates, np.geomspace(1e-5, 10, 100), rtol=1e-4)
    test = lr_range_test(loss_fn, PARAMS, BATCHES, min_lr=1e-5, stop_factor=None)
    np.testing.assert_allclose(names["losses"], test.losses, rtol=1e-3)
    bounds = names["base_lr"], names["max_lr"]
    np.testing.assert_allclose(bounds, test.bounds(), rtol=1e-2)


def test_the_sweep(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    code, _ = code_of("The sweep")
    names = {"loss_fn": loss_fn, "params": PARAMS, "batches": SCALED}
    names = run(code, **names, validation_batches=SCALED[:2], steps_per_epoch=4)
    check_output(capsys.readouterr().out, "The sweep", rtol=0.2)
    sweep = names["sweep"]
    for peak, loss in zip(sweep.peaks, sweep.losses, strict=True):
        rates = triangle(np.arange(200), peak / 10, peak, 100).astype(np.float32)
        rates = jnp.asarray(rates)
        adamw = optax.adamw(lambda count, rates=rates: rates[count])
        _, params = by_hand(adamw, rates, batches=SCALED)
        held_out = np.mean([loss_fn(params, batch) for batch in SCALED[:2]])
        np.testing.assert_allclose(loss, held_out, rtol=1e-2, atol=1e-7)
    np.testing.assert_allclose(names["schedule"](16), sweep.bounds()[1], rtol=1e-6)
    assert (tmp_path / "sweep.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_several_seeds():
    def init(key):
        return {"w": jax.random.normal(key, (3,))}

    def with_key(params, batch, key):
        return loss_fn(params, batch)

    (code,) = code_of("Several seeds")
    names = run(code, loss_fn=with_key, init=init, loader=BATCHES)
    test = names["test"]
    alone = [lr_range_test(loss_fn, init(key), BATCHES) for key in names["keys"]]
    assert test.losses.shape == (5, 100)
    assert len({float(curve.losses[0]) for curve in alone}) == 5
    for losses, curve in zip(test.losses, alone, strict=True):
        np.testing.assert_allclose(losses, curve.losses, rtol=1e-5)
    medians = np.median([curve.bounds() for curve in alone], axis=0)
    np.testing.assert_allclose(test.bounds(), medians, rtol=1e-6)

    def one(key):
        return lr_range_test(with_key, init, STACKED, key=key)

    together = jax.vmap(one)(names["keys"])
    np.testing.assert_allclose(together.losses, test.losses, rtol=1e-4)
    np.testing.assert_allclose(together.bounds(), test.bounds(), rtol=1e-3)


def test_validation_accuracy():
    labels = np.argmax(X, axis=1)
    batches = {"x": split(X), "y": split(labels)}

    def predict(params, x):
        return x @ params

    def loss(params, batch):
        logs = jax.nn.log_softmax(predict(params, batch["x"]))
        return -jnp.take_along_axis(logs, batch["y"][:, None], 1).mean()

    (code,) = code_of("Validation accuracy")
    params, accuracies = jax.random.normal(jax.random.key(0), (3, 3)), []
    names = {"params": params, "batches": batches, "loss": loss}
    names |= {"predict": predict, "x_val": X, "y_val": labels}
    names = run(code, **names)
    test = names["test"]
    for number in range(int(test.num_finite)):
        accuracies.append(np.mean(np.argmax(X @ params, axis=1) == labels))
        batch = jax.tree.map(lambda array, n=number: array[n % 4], batches)
        params -= test.lrs[number] * jax.grad(loss)(params, batch)
    np.testing.assert_allclose(test.aux[: len(accuracies)], accuracies, atol=0.04)
    assert 1e-6 < names["base_lr"] < names["max_lr"] < 10


def test_weight_decays_beside_the_rate():
    (code,) = code_of("Weight decay beside the rate")
    names = run(code, loss_fn=loss_fn, params=PARAMS, batches=STACKED)
    rates = names["test"].lrs[0]
    sgd = optax.sgd(lambda count: rates[count], 0.9)
    for index, decay in enumerate((0.0, 1e-3, 1e-2, 1e-1, 1.0)):
        test = jax.tree.map(lambda leaf, index=index: leaf[index], names["test"])
        optimizer = optax.chain(optax.add_decayed_weights(decay), sgd)
        check(test, losses_by_hand(optimizer, rates))
    assert len(set(names["test"].losses[:, 50].tolist())) == 5
    lines = plt.gca().get_legend().get_texts()
    assert [line.get_text().split(":")[0] for line in lines] == [
        f"weight decay {decay}" for decay in ("0", "0.001", "0.01", "0.1", "1")
    ]


def test_groups_are_tested_with_one_rate(capsys):
    params = {"encoder": jnp.zeros(3), "head": jnp.zeros(3)}

    def loss_fn(params, batch):
        outputs = batch["x"] @ (params["encoder"] + params["head"])
        return jnp.mean((outputs - batch["y"]) ** 2)

    _, code = code_of("Groups of parameters")
    names = {"optax": optax, "loss_fn": loss_fn, "params": params, "batches": SCALED}
    names = run(code, labels={"encoder": "encoder", "head": "head"}, **names)
    check_output(capsys.readouterr().out, "Groups of parameters", 1, rtol=0.2)
    test = names["test"]

    def own(updates, state, params=None):
        rate = test.lrs[state]
        slow = {"encoder": 0.1 * updates["encoder"], "head": updates["head"]}
        return jax.tree.map(lambda update: -rate * update, slow), state + 1

    optimizer = optax.GradientTransformation(lambda params: jnp.zeros((), int), own)
    check(test, losses_by_hand(optimizer, test.lrs, params, loss_fn, SCALED))
    base_lr, max_lr = suggest_bounds(test.lrs, test.losses)
    assert 1e-6 < base_lr < max_lr < 10

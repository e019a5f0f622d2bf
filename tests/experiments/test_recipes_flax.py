"""Flax's recipes draw the curve of Flax's own loop, and train by the bounds in it."""

from itertools import cycle

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen, nnx
from flax.training import train_state
from recipe_code import (
    batches_of,
    check_curve,
    check_output,
    check_same,
    code_of,
    line,
    needs,
    run,
    split,
    triangle,
)

from clr_optax import lr_sweep

X, Y = line(256)


class NNXNet(nnx.Module):
    """A network whose statistics and dropout masks change at every step."""

    def __init__(self):
        rngs = nnx.Rngs(0)
        self.inner = nnx.Linear(3, 16, rngs=rngs)
        self.norm = nnx.BatchNorm(16, rngs=rngs)
        self.dropout = nnx.Dropout(0.2, rngs=rngs)
        self.outer = nnx.Linear(16, 1, rngs=rngs)

    def __call__(self, x):
        return self.outer(self.dropout(nnx.relu(self.norm(self.inner(x)))))


@nnx.jit
def nnx_step(model, optimizer, batch):
    def loss_fn(model):
        return jnp.mean((model(batch["x"])[:, 0] - batch["y"]) ** 2)

    loss, gradient = nnx.value_and_grad(loss_fn)(model)
    optimizer.update(model, gradient)
    return loss


def nnx_loop(rates, batches):
    """Returns the losses and the model of training at given rates."""
    model, rates = NNXNet(), jnp.asarray(rates)
    tx = optax.adam(lambda count: rates[count])
    optimizer = nnx.Optimizer(model, tx, wrt=nnx.Param)
    numbered = zip(rates, cycle(batches), strict=False)
    return [nnx_step(model, optimizer, batch) for _, batch in numbered], model


@pytest.mark.slow
@needs("grain")
def test_nnx_with_dropout_over_a_grain_loader(capsys):
    import grain

    rows = [{"x": x, "y": y} for x, y in zip(X, Y, strict=True)]
    loader = grain.MapDataset.source(rows).shuffle(seed=0).batch(64)
    model = NNXNet()
    find, train = code_of("Flax NNX")
    names = run(find, model=model, grain_loader=loader, steps_per_epoch=4)
    check_output(capsys.readouterr().out, "Flax NNX", rtol=0.2)
    check_same(
        nnx.state(model, nnx.Not(nnx.RngState)),
        nnx.state(NNXNet(), nnx.Not(nnx.RngState)),
    )

    losses, _ = nnx_loop(names["test"].lrs[:75], loader)
    rates = check_curve(names["test"], losses)[:8]

    _, code = code_of("The sweep")
    swept = run(code, **names, lr_sweep=lr_sweep)["swept"]
    cycle_of_peak = triangle(np.arange(200), swept.peaks[0] / 10, swept.peaks[0], 100)
    losses, _ = nnx_loop(cycle_of_peak.astype(np.float32), loader)
    np.testing.assert_allclose(swept.losses[0], np.mean(losses[-20:]), rtol=0.05)
    assert 0 < swept.bounds()[0] < swept.bounds()[1] < 10

    names = run(train, **names)
    for batch, _ in zip(cycle(loader), rates, strict=False):
        names["step"](model, names["optimizer"], batch)
    _, expected = nnx_loop(rates, loader)
    # not of the bias before BatchNorm, whose gradient is rounding that Adam enlarges
    check_same(nnx.state(model.outer), nnx.state(expected.outer))


class LinenNet(linen.Module):
    @linen.compact
    def __call__(self, x, train):
        x = linen.BatchNorm(use_running_average=not train)(linen.Dense(16)(x))
        x = linen.Dropout(0.2, deterministic=not train)(linen.relu(x))
        return linen.Dense(3)(x)


class State(train_state.TrainState):
    batch_stats: dict


@jax.jit
def linen_step(state, batch, key):
    def loss_fn(params):
        logits, new = state.apply_fn(
            {"params": params, "batch_stats": state.batch_stats},
            batch["image"],
            train=True,
            mutable=["batch_stats"],
            rngs={"dropout": key},
        )
        chosen = jax.nn.log_softmax(logits)[jnp.arange(64), batch["label"]]
        return -chosen.mean(), new["batch_stats"]

    value_and_grad = jax.value_and_grad(loss_fn, has_aux=True)
    (loss, stats), gradient = value_and_grad(state.params)
    return state.apply_gradients(grads=gradient, batch_stats=stats), loss


def linen_loop(state, number, batches):
    """Returns the losses and the state of training a state for some steps."""
    losses = []
    for index, batch in zip(range(number), cycle(batches), strict=False):
        key = jax.random.fold_in(jax.random.key(0), index)
        state, loss = linen_step(state, batch, key)
        losses.append(loss)
    return losses, state


@pytest.mark.slow
def test_linen_train_state_over_an_iterator(capsys):
    net, labels = LinenNet(), np.argmax(X, axis=1)
    batches = batches_of(image=split(X), label=split(labels))
    variables = net.init(jax.random.key(1), X, train=False)

    def state_at(rates):
        rates = jnp.asarray(rates)
        tx = optax.sgd(lambda count: rates[count])
        return State.create(apply_fn=net.apply, tx=tx, **variables)

    (code,) = code_of("Flax Linen")
    start = state_at([0.1])
    names = run(code, state=start, batches=cycle(batches), steps_per_epoch=4)
    check_output(capsys.readouterr().out, "Flax Linen", rtol=0.2)
    losses, _ = linen_loop(state_at(names["test"].lrs), 75, batches)
    rates = check_curve(names["test"], losses)
    _, trained = linen_loop(names["state"], len(rates), batches)
    _, expected = linen_loop(state_at(rates), len(rates), batches)
    check_same(trained.params, expected.params)
    check_same(trained.batch_stats, expected.batch_stats)

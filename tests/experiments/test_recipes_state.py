"""Equinox's and Haiku's recipes draw the curve of a loop as their users write it."""

from itertools import cycle

import jax
import jax.numpy as jnp
import optax
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
)

X, Y = line(256)


@needs("equinox")
@needs("torch")
def test_equinox_with_state_over_a_pytorch_loader(capsys):
    import equinox as eqx
    import torch

    class Model(eqx.Module):
        inner: eqx.nn.Linear
        norm: eqx.nn.BatchNorm
        outer: eqx.nn.Linear

        def __init__(self, key):
            self.inner = eqx.nn.Linear(3, 16, key=key)
            self.norm = eqx.nn.BatchNorm(16, axis_name="batch", mode="ema")
            self.outer = eqx.nn.Linear(16, 1, key=key)

        def __call__(self, x, state):
            x, state = self.norm(self.inner(x), state)
            return self.outer(jax.nn.relu(x)), state

    data = torch.utils.data.TensorDataset(torch.tensor(X), torch.tensor(Y))
    loader = torch.utils.data.DataLoader(data, batch_size=64)
    pairs = [(x.numpy(), y.numpy()) for x, y in loader]

    def loss_fn(model, state, x, y):
        forward = jax.vmap(model, (0, None), (0, None), axis_name="batch")
        outputs, state = forward(x, state)
        return jnp.mean((outputs[:, 0] - y) ** 2), state

    def loop(rates):
        """Returns the losses and the model of training at given rates."""
        rates, losses = jnp.asarray(rates), []
        optimizer = optax.adam(lambda count: rates[count])
        model, state = eqx.nn.make_with_state(Model)(jax.random.key(0))
        opt_state = optimizer.init(eqx.filter(model, eqx.is_inexact_array))

        @eqx.filter_jit
        def step(model, state, opt_state, x, y):
            value_and_grad = eqx.filter_value_and_grad(loss_fn, has_aux=True)
            (loss, state), gradient = value_and_grad(model, state, x, y)
            updates, opt_state = optimizer.update(gradient, opt_state)
            return eqx.apply_updates(model, updates), state, opt_state, loss

        for _, (x, y) in zip(rates, cycle(pairs), strict=False):
            model, state, opt_state, loss = step(model, state, opt_state, x, y)
            losses.append(loss)
        return losses, model

    find, train = code_of("Equinox")
    names = run(find, Model=Model, torch_loader=loader, steps_per_epoch=4)
    check_output(capsys.readouterr().out, "Equinox", rtol=0.2)
    losses, _ = loop(names["test"].lrs[:75])
    rates = check_curve(names["test"], losses)
    names = run(train, **names)
    trained = names["params"], names["state"], names["opt_state"]
    for batch, _ in zip(cycle(pairs), rates, strict=False):
        trained = names["step"](*trained, batch)
    check_same(trained[0], eqx.filter(loop(rates)[1], eqx.is_inexact_array))


@needs("haiku")
def test_haiku_with_state(capsys):
    import haiku as hk

    def net(x):
        x = hk.BatchNorm(True, True, 0.9)(hk.Linear(16)(x), is_training=True)
        x = hk.dropout(hk.next_rng_key(), 0.05, jax.nn.relu(x))
        return hk.Linear(1)(x)

    network, key = hk.transform_with_state(net), jax.random.key(0)
    batches = batches_of(x=split(X), y=split(Y))

    def loop(optimizer, number):
        """Returns the losses and the parameters of training for some steps."""
        params, state = network.init(key, X)
        opt_state, losses = optimizer.init(params), []

        @jax.jit
        def step(params, state, opt_state, batch, key):
            def loss_fn(params):
                outputs, after = network.apply(params, state, key, batch["x"])
                return jnp.mean((outputs[:, 0] - batch["y"]) ** 2), after

            (loss, after), gradient = jax.value_and_grad(loss_fn, has_aux=True)(params)
            updates, opt_state = optimizer.update(gradient, opt_state)
            return optax.apply_updates(params, updates), after, opt_state, loss

        for index, batch in zip(range(number), cycle(batches), strict=False):
            folded = jax.random.fold_in(key, index)
            parts = step(params, state, opt_state, batch, folded)
            params, state, opt_state, loss = parts
            losses.append(loss)
        return losses, params

    def at(rates):
        rates = jnp.asarray(rates)
        return optax.sgd(lambda count: rates[count])

    (code,) = code_of("Haiku")
    names = run(code, network=network, x=X, batches=batches, steps_per_epoch=4)
    check_output(capsys.readouterr().out, "Haiku", rtol=0.2)
    losses, _ = loop(at(names["test"].lrs), 75)
    rates = check_curve(names["test"], losses)
    _, trained = loop(names["optimizer"], len(rates))
    check_same(trained, loop(at(rates), len(rates))[1])

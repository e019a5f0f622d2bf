"""Range-test recipes draw the curve of each framework's own training loop."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen, nnx
from flax.training import train_state
from recipe_code import batches_of, code_of, line, needs, run, split

X, Y = line(256)
BATCHES = batches_of(x=split(X), y=split(Y))
GIVEN = {"batches": BATCHES, "steps_per_epoch": len(BATCHES)}


def mean_square(outputs, targets):
    return jnp.mean((outputs[:, 0] - targets) ** 2)


def steps_of(test, batches):
    """Yields number, rate and batch of the steps before the loss is chaotic."""
    assert test.num_finite > 75
    rates = (float(rate) for rate in test.lrs)
    return zip(range(75), rates, itertools.cycle(batches), strict=False)


def check(names, losses):
    """The curve is these losses, and the schedule has the bounds read from it."""
    test = names["test"]
    np.testing.assert_allclose(test.losses[: len(losses)], losses, rtol=1e-5)
    base_lr, max_lr = test.bounds()
    assert 1e-6 < base_lr < max_lr < 10
    if "rate" in names:
        rates = names["rate"](np.array([0, 16, 32]))
        np.testing.assert_allclose(rates, [base_lr, max_lr, base_lr], rtol=1e-6)


class NNXNet(nnx.Module):
    def __init__(self, rngs):
        self.inner = nnx.Linear(3, 16, rngs=rngs)
        self.norm = nnx.BatchNorm(16, rngs=rngs)
        self.dropout = nnx.Dropout(0.2, rngs=rngs)
        self.outer = nnx.Linear(16, 1, rngs=rngs)

    def __call__(self, x):
        return self.outer(self.dropout(nnx.relu(self.norm(self.inner(x)))))


@needs("grain")
def test_flax_nnx_with_dropout_over_a_grain_loader():
    import grain

    rows = [{"x": x, "y": y} for x, y in zip(X, Y, strict=True)]
    loader = grain.MapDataset.source(rows).shuffle(seed=0).batch(64)
    model = NNXNet(nnx.Rngs(0))
    before = jax.tree.map(np.asarray, nnx.state(model, nnx.Param, nnx.BatchStat))
    find, train = code_of("Flax NNX")
    names = run(find, model=model, grain_loader=loader)
    after = nnx.state(model, nnx.Param, nnx.BatchStat)
    jax.tree.map(np.testing.assert_array_equal, after, before)

    rates = names["test"].lrs
    tx = optax.adam(lambda count: rates[count])
    optimizer, losses = nnx.Optimizer(model, tx, wrt=nnx.Param), []
    for _, _, batch in steps_of(names["test"], loader):
        value_and_grad = nnx.value_and_grad(
            lambda model, batch=batch: mean_square(model(batch["x"]), batch["y"])
        )
        loss, gradient = value_and_grad(model)
        optimizer.update(model, gradient)
        losses.append(loss)
    model = NNXNet(nnx.Rngs(0))
    names = run(train, **names | GIVEN | {"model": model})
    check(names, losses)
    names["step"](model, names["optimizer"], BATCHES[0])
    moved = jnp.abs(model.outer.bias[0])  # Adam's first step is the rate itself
    np.testing.assert_allclose(moved, names["rate"](0), rtol=1e-3)


class LinenNet(linen.Module):
    @linen.compact
    def __call__(self, x, train):
        x = linen.BatchNorm(use_running_average=not train)(linen.Dense(16)(x))
        x = linen.Dropout(0.2, deterministic=not train)(linen.relu(x))
        return linen.Dense(3)(x)


class State(train_state.TrainState):
    batch_stats: dict


def test_flax_linen_train_state_over_an_iterator():
    net = LinenNet()
    labels = np.argmax(X, axis=1)
    data = batches_of(image=split(X), label=split(labels))
    variables = net.init(jax.random.key(1), X, train=False)
    batch_stats, params = variables["batch_stats"], variables["params"]
    shared = {"apply_fn": net.apply, "params": params, "batch_stats": batch_stats}
    state = State.create(tx=optax.sgd(0.1), **shared)
    (code,) = code_of("Flax Linen")
    endless = itertools.cycle(data)
    names = run(code, state=state, batches=endless, steps_per_epoch=4)

    rates = names["test"].lrs
    state, losses = State.create(tx=optax.sgd(lambda n: rates[n]), **shared), []

    @jax.jit
    def train_step(state, batch, key):
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
        (loss, stats), grads = value_and_grad(state.params)
        return state.apply_gradients(grads=grads, batch_stats=stats), loss

    for number, _, batch in steps_of(names["test"], data):
        key = jax.random.fold_in(jax.random.key(0), number)
        state, loss = train_step(state, batch, key)
        losses.append(loss)
    check(names, losses)
    batch = {name: jnp.asarray(value) for name, value in data[0].items()}
    state, loss = train_step(names["state"], batch, jax.random.key(0))
    assert jnp.isfinite(loss)


@needs("equinox")
@needs("torch")
def test_equinox_with_state_over_a_pytorch_loader():
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
    find, train = code_of("Equinox")
    names = run(find, Model=Model, torch_loader=loader)

    model, state = eqx.nn.make_with_state(Model)(jax.random.key(0))
    rates, losses = names["test"].lrs, []
    optimizer = optax.adam(lambda count: rates[count])
    opt_state = optimizer.init(eqx.filter(model, eqx.is_inexact_array))

    def loss_fn(model, state, x, y):
        forward = jax.vmap(model, (0, None), (0, None), axis_name="batch")
        outputs, state = forward(x, state)
        return mean_square(outputs, y), state

    @eqx.filter_jit
    def step(model, state, opt_state, x, y):
        value_and_grad = eqx.filter_value_and_grad(loss_fn, has_aux=True)
        (loss, state), gradient = value_and_grad(model, state, x, y)
        updates, opt_state = optimizer.update(gradient, opt_state)
        return eqx.apply_updates(model, updates), state, opt_state, loss

    for _, _, (x, y) in steps_of(names["test"], loader):
        parts = step(model, state, opt_state, x.numpy(), y.numpy())
        model, state, opt_state, loss = parts
        losses.append(loss)
    names = run(train, **names | GIVEN)
    check(names, losses)
    batch = BATCHES[0]["x"], BATCHES[0]["y"]
    params, start = names["params"], names["params"].outer.bias
    params, *_ = names["step"](params, names["state"], names["opt_state"], batch)
    moved = jnp.abs(params.outer.bias - start)[0]  # Adam's first step is the rate
    np.testing.assert_allclose(moved, names["test"].bounds()[0], rtol=1e-3)


@needs("haiku")
def test_haiku_with_state():
    import haiku as hk

    def net(x):
        x = hk.BatchNorm(True, True, 0.9)(hk.Linear(16)(x), is_training=True)
        x = hk.dropout(hk.next_rng_key(), 0.05, jax.nn.relu(x))
        return hk.Linear(1)(x)

    network = hk.transform_with_state(net)
    (code,) = code_of("Haiku")
    names = run(code, network=network, x=X, **GIVEN)

    key, losses = jax.random.key(0), []
    params, state = network.init(key, X)
    optimizer = optax.sgd(1.0)
    opt_state = optimizer.init(params)

    @jax.jit
    def step(params, state, opt_state, rate, batch, key):
        def loss_fn(params):
            outputs, after = network.apply(params, state, key, batch["x"])
            return mean_square(outputs, batch["y"]), after

        (loss, after), gradient = jax.value_and_grad(loss_fn, has_aux=True)(params)
        updates = jax.tree.map(lambda g: -rate * g, gradient)
        return optax.apply_updates(params, updates), after, opt_state, loss

    for number, rate, batch in steps_of(names["test"], BATCHES):
        fold = jax.random.fold_in(key, number)
        parts = step(params, state, opt_state, rate, batch, fold)
        params, state, opt_state, loss = parts
        losses.append(loss)
    check(names, losses)

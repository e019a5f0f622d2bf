"""A state that the loss hands on: statistics, counters, keys of any dtype."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from range_problems import problem, regression

from clr_optax import lr_range_test

nnx = pytest.importorskip("flax.nnx")


class Network(nnx.Module):
    """One hidden layer, normalised over the batch, with dropout of its own keys."""

    def __init__(self, rngs):
        self.first = nnx.Linear(8, 16, rngs=rngs)
        self.norm = nnx.BatchNorm(16, rngs=rngs)
        self.dropout = nnx.Dropout(0.3, rngs=rngs)
        self.last = nnx.Linear(16, 1, rngs=rngs)

    def __call__(self, x):
        return self.last(self.dropout(nnx.relu(self.norm(self.first(x)))))[:, 0]


def error(model, batch):
    x, y = batch
    return jnp.mean((model(x) - y) ** 2)


def rows(batches):
    return [jax.tree.map(lambda a, i=i: a[i], batches) for i in range(3)]


def split(model):
    """The graph, and what the range test is given: loss_fn, params, state."""
    graph, params, rest = nnx.split(model, nnx.Param, ...)

    def loss_fn(params, rest, batch):
        model = nnx.merge(graph, params, rest, copy=True)
        return error(model, batch), nnx.split(model, nnx.Param, ...)[2]

    return loss_fn, params, rest


def by_hand(model, batches, lrs):
    """The losses of the module's own training loop, as Flax's users write it."""
    gradient = nnx.jit(nnx.value_and_grad(error))
    losses = []
    for i, lr in enumerate(lrs):
        loss, grads = gradient(model, batches[i % len(batches)])
        losses.append(loss)
        params = nnx.state(model, nnx.Param)
        nnx.update(model, jax.tree.map(lambda p, g, lr=lr: p - lr * g, params, grads))
    return np.array(losses)


@pytest.mark.parametrize("streamed", [False, True])
def test_batch_norm_and_dropout_are_trained_as_by_hand(streamed):
    model = Network(nnx.Rngs(0))
    _, batches = problem()
    loss_fn, params, rest = split(model)
    given = rows(batches) if streamed else batches
    test = lr_range_test(
        loss_fn, params, given, state=rest, min_lr=1e-3, max_lr=0.3, num_steps=40
    )
    np.testing.assert_allclose(
        test.losses, by_hand(model, rows(batches), test.lrs), rtol=1e-6
    )


def test_the_state_that_was_given_is_as_it_was():
    loss_fn, params, rest = split(Network(nnx.Rngs(0)))
    _, batches = problem()
    before = jax.tree.map(np.array, (params, jax.tree.map(raw, rest)))
    for given in (batches, rows(batches)):
        lr_range_test(loss_fn, params, given, state=rest, num_steps=20)
        after = params, jax.tree.map(raw, rest)
        jax.tree.map(np.testing.assert_array_equal, before, after)


def raw(leaf):
    typed = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    return jax.random.key_data(leaf) if typed else leaf


def test_an_optimizer_evaluates_with_the_state_before_the_batch():
    def loss_fn(params, state, batch):
        return state * regression(params, batch), state + 1

    def spoiled_unless_equal(rate):
        def update(updates, state, params, *, value, value_fn, **_):
            same = jnp.isclose(value_fn(params), value)
            return jax.tree.map(lambda u: jnp.where(same, u, jnp.nan), updates), state

        check = optax.GradientTransformationExtraArgs(optax.init_empty_state, update)
        return optax.chain(check, optax.sgd(rate))

    test = lr_range_test(
        loss_fn,
        *problem(),
        state=1.0,
        max_lr=1e-3,
        num_steps=10,
        optimizer=spoiled_unless_equal,
    )
    assert test.num_finite == 10


@pytest.mark.parametrize("accumulate", [1, 3])
def test_the_state_goes_through_every_batch(accumulate):
    params, batches = problem()
    start = {
        "whole": 3,
        "raw": jax.random.PRNGKey(0),
        "typed": jax.random.key(0),
        "half": np.float16(1),
        "flag": True,
    }

    def loss_fn(params, state, batch):
        new = {
            "whole": state["whole"] + 1,
            "raw": jax.random.fold_in(state["raw"], 1),
            "typed": jax.random.fold_in(state["typed"], 1),
            "half": state["half"] / 2,
            "flag": ~state["flag"],
        }
        return regression(params, batch), (new, state)

    test = lr_range_test(
        loss_fn,
        params,
        rows(batches),
        state=start,
        accumulate=accumulate,
        num_steps=6,
        max_lr=0.1,
        has_aux=True,
    )
    shape = (6,) if accumulate == 1 else (6, accumulate)
    steps = np.arange(6 * accumulate).reshape(shape)
    assert test.aux["whole"].tolist() == (3 + steps).tolist()
    assert test.aux["half"].tolist() == (0.5**steps).tolist()
    assert test.aux["flag"].tolist() == (steps % 2 == 0).tolist()
    for name in ("raw", "typed"):
        key, keys = start[name], []
        for _ in range(6 * accumulate):
            keys.append(raw(key))
            key = jax.random.fold_in(key, 1)
        expected = np.array(keys).reshape(*shape, 2)
        np.testing.assert_array_equal(raw(test.aux[name]), expected)


@pytest.mark.parametrize("key", [jax.random.key(1), jax.random.PRNGKey(1)])
def test_the_key_comes_last(key):
    params, batches = problem()

    def loss_fn(params, state, batch, key):
        drawn = jax.random.uniform(key)
        return regression(params, batch), (state, drawn)

    test = lr_range_test(
        loss_fn, params, batches, state=0, key=key, num_steps=5, has_aux=True
    )
    expected = [jax.random.uniform(jax.random.fold_in(key, i)) for i in range(5)]
    np.testing.assert_array_equal(test.aux, np.array(expected))


@pytest.mark.parametrize(
    ("returned", "match"),
    [
        (lambda loss, state: loss, r"return \(loss, state\), got float32\[\]"),
        (lambda loss, state: (loss, state, 1), r"got \(float32\[\], dict, int\)"),
        (lambda loss, state: (loss, {}), r"structure .*, got it without state\['n'\]"),
        (
            lambda loss, state: (loss, state | {"m": (1, 2, 3)}),
            r"got state\['m'\]\[0\], .*\[1\], state\['m'\]\[2\] beside it\.",
        ),
        (lambda loss, state: (loss, tuple(state)), r"got .* and it without state"),
        (lambda loss, state: (loss, [state] * 4), r"\[2\]\['n'\] and 1 more beside"),
        (
            lambda loss, state: (loss, state | {"m": [0] * 9}),
            r"state\['m'\]\[2\] and 6 more beside it\.",
        ),
        (
            lambda loss, state: (loss, {"n": state["n"] + 0.5}),
            r"keeps its shapes and dtypes, got float32\[\] at state\['n'\], not int32",
        ),
        (
            lambda loss, state: (loss, {"n": state["n"][None]}),
            r"got int32\[1\] at state\['n'\], not int32\[\]",
        ),
    ],
)
def test_a_state_that_changes_its_kind_is_refused(returned, match):
    params, batches = problem()

    def loss_fn(params, state, batch):
        return returned(regression(params, batch), state)

    with pytest.raises(TypeError, match=match):
        lr_range_test(loss_fn, params, batches, state={"n": 0})


@pytest.mark.parametrize("kind", [nnx.Intermediate, nnx.Cache])
@pytest.mark.filterwarnings("ignore:Using 'Module.sow:DeprecationWarning")
def test_what_a_call_adds_to_an_nnx_model_is_named(kind):
    class Told(Network):
        def __call__(self, x):
            outputs = super().__call__(x)
            if kind is nnx.Intermediate:
                self.sow(nnx.Intermediate, "seen", outputs)
            elif not hasattr(self, "seen"):
                self.seen = nnx.Cache(outputs)
            return outputs

    _, batches = problem()
    model = Told(nnx.Rngs(0))
    loss_fn, params, rest = split(model)
    match = (
        r"got state\['seen'\].* beside it, call the model .*nnx\.pop\(model, nnx\.Int"
    )
    with pytest.raises(TypeError, match=match):
        lr_range_test(loss_fn, params, batches, state=rest)

    model(batches[0][0])  # what a call makes is there
    if kind is nnx.Intermediate:
        nnx.pop(model, nnx.Intermediate)
    graph, params, rest = nnx.split(model, nnx.Param, ...)

    def popped(params, rest, batch):
        model = nnx.merge(graph, params, rest, copy=True)
        loss = error(model, batch)
        if kind is nnx.Intermediate:
            nnx.pop(model, nnx.Intermediate)
        return loss, nnx.state(model, nnx.Not(nnx.Param))

    test = lr_range_test(popped, params, batches, state=rest, num_steps=12, max_lr=0.1)
    assert test.num_finite == 12


def test_a_bare_module_is_told_to_be_split():
    with pytest.raises(TypeError, match=r"got Network, .*nnx.split.*state=rest"):
        lr_range_test(error, Network(nnx.Rngs(0)), problem()[1])
    with pytest.raises(TypeError, match=r"got Network, .*nnx.split.*state=rest"):
        lr_range_test(error, {"body": Network(nnx.Rngs(0))}, problem()[1])
    with pytest.raises(TypeError, match=r"got BatchStat, .*nnx.split.*state=rest"):
        lr_range_test(error, nnx.state(Network(nnx.Rngs(0)), nnx.BatchStat), None)


def test_what_is_not_trained_is_told_to_be_state():
    _, batches = problem()
    for other in (jnp.int32(0), jax.random.key(0), jnp.uint32([1, 2]), np.bool_(1)):
        params = {"w": jnp.ones(3), "other": other}
        with pytest.raises(TypeError, match=r"at params\['other'\], .* as state="):
            lr_range_test(regression, params, batches)
    model = {"w": jnp.ones(3), "activation": jax.nn.relu}
    with pytest.raises(TypeError, match=r"got .*, .*eqx.partition"):
        lr_range_test(regression, model, batches)

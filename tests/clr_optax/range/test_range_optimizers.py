"""Every kind of Optax optimizer is given each rate, or is refused with the reason."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from range_problems import problem, regression

from clr_optax import lr_range_test
from clr_optax._range.step import Training

contrib = optax.contrib
LIMITS = {"min_lr": 1e-4, "max_lr": 0.1, "num_steps": 12}


def by_hand(optimizer, params, batches, lrs, value_and_grad=None):
    """The losses of an eager loop, written as Optax's documentation has it."""
    value_and_grad = value_and_grad or jax.value_and_grad(regression)
    transformation = optimizer(lambda count: lrs[count])
    state, losses = transformation.init(params), []
    update = optax.with_extra_args_support(transformation).update
    for i in range(len(lrs)):
        batch = jax.tree.map(lambda a, i=i: a[i % 3], batches)
        loss, grads = value_and_grad(params, batch)
        # those that take an extra argument take all of them
        updates, state = update(
            grads, state, params, value=loss, grad=grads, value_fn=None
        )
        params = optax.apply_updates(params, updates)
        losses.append(loss)
    return np.array(losses)


def masked(rate):
    """Trains v alone, with a decay of the weights of what has two axes."""
    labels = {"w": "frozen", "v": "trained"}
    decay = optax.add_decayed_weights(
        0.1, mask=lambda params: jax.tree.map(lambda p: p.ndim > 1, params)
    )
    inner = optax.chain(decay, optax.sgd(rate))
    parts = {"trained": inner, "frozen": optax.set_to_zero()}
    return optax.multi_transform(parts, labels)


def plateau(rate):
    """Halves its updates where the loss did not improve for two steps."""
    return optax.chain(
        optax.sgd(rate), contrib.reduce_on_plateau(factor=0.5, patience=2)
    )


OPTIMIZERS = {
    "sgd": optax.sgd,
    "momentum": functools.partial(optax.sgd, momentum=0.9, nesterov=True),
    "adam": optax.adam,
    "adamw": functools.partial(optax.adamw, weight_decay=0.1),
    "adamw in its state": optax.inject_hyperparams(optax.adamw),
    "lion": optax.lion,
    "rmsprop": optax.rmsprop,
    "adafactor": optax.adafactor,
    "clipping": lambda rate: optax.chain(
        optax.clip_by_global_norm(0.1), optax.adam(rate)
    ),
    "rate by itself": lambda rate: optax.chain(
        optax.scale_by_adam(), optax.scale_by_learning_rate(rate)
    ),
    "masked": masked,
    "apply_if_finite": lambda rate: optax.apply_if_finite(optax.sgd(rate), 3),
    "schedule-free": contrib.schedule_free_sgd,
    "schedule-free adam": contrib.schedule_free_adamw,
    "polyak": lambda rate: optax.polyak_sgd(max_learning_rate=1.0, scaling=rate),
    "momo": contrib.momo,
    "momo adam": contrib.momo_adam,
    "plateau": plateau,
    "ademamix": contrib.ademamix,
    "lbfgs": functools.partial(optax.lbfgs, linesearch=None),
}


# what takes a second or is like another
SLOW = "ademamix", "adafactor", "lbfgs", "momo adam", "rmsprop", "schedule-free adam"


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow if name in SLOW else ())
        for name in OPTIMIZERS
    ],
)
def test_losses_are_those_of_a_loop_by_hand(name):
    params, batches = problem()
    test = lr_range_test(
        regression, params, batches, optimizer=OPTIMIZERS[name], **LIMITS
    )
    expected = by_hand(OPTIMIZERS[name], params, batches, test.lrs)
    np.testing.assert_allclose(test.losses, expected, rtol=2e-5)
    assert test.losses[9] != test.losses[0]  # one batch, other params


def test_lookahead_is_tested_on_its_fast_params():
    params, batches = problem()

    def optimizer(rate):
        return optax.lookahead(optax.sgd(rate), sync_period=3, slow_step_size=0.5)

    both = optax.LookaheadParams.init_synced(params)
    gradient = jax.value_and_grad(regression)
    for given in (batches, [jax.tree.map(lambda a: a[0], batches)]):
        test = lr_range_test(regression, both, given, optimizer=optimizer, **LIMITS)
        batches = jax.tree.map(lambda a: a[:1].repeat(3, 0), batches)
    expected = by_hand(
        optimizer,
        both,
        batches,
        test.lrs,
        lambda params, batch: gradient(params.fast, batch),
    )
    np.testing.assert_allclose(test.losses, expected, rtol=1e-5)


@pytest.mark.parametrize("opaque", [False, True])
def test_sam_is_given_the_gradient_of_the_batch(opaque):
    params, batches = problem()
    climb = optax.chain(contrib.normalize(), optax.sgd(0.05))

    def optimizer(rate):
        return contrib.sam(optax.sgd(rate), climb, sync_period=2, opaque_mode=opaque)

    test = lr_range_test(regression, params, batches, optimizer=optimizer, **LIMITS)
    state = optimizer(0.1).init(params)
    losses, gradient = [], jax.grad(regression)
    for i, lr in enumerate(test.lrs):
        batch = jax.tree.map(lambda a, i=i: a[i % 3], batches)
        losses.append(regression(params, batch))
        updates, state = optimizer(lr).update(
            gradient(params, batch),
            state,
            params,
            grad_fn=lambda params, _, batch=batch: gradient(params, batch),
        )
        params = optax.apply_updates(params, updates)
    np.testing.assert_allclose(test.losses, losses, rtol=1e-5)


def test_params_of_mixed_precision_keep_it():
    params, batches = problem()
    params["w"] = params["w"].astype(jnp.bfloat16)
    kinds = []

    def loss_fn(params, batch):
        kinds.append({name: leaf.dtype.name for name, leaf in params.items()})
        return regression(params, batch)

    for accumulate in (1, 2):
        test = lr_range_test(
            loss_fn,
            params,
            batches,
            optimizer=optax.adam,
            accumulate=accumulate,
            **LIMITS,
        )
        assert test.losses.dtype == jnp.float32
        assert test.num_finite == 12
    assert all(kind == {"w": "bfloat16", "v": "float32"} for kind in kinds)


def test_frozen_params_stay():
    params, batches = problem()

    def loss_fn(params, batch):
        return regression(params, batch), params["w"]

    test = lr_range_test(
        loss_fn, params, batches, optimizer=masked, has_aux=True, **LIMITS
    )
    np.testing.assert_array_equal(test.aux, np.stack([params["w"]] * 12))


@pytest.mark.parametrize(
    ("optimizer", "match"),
    [
        (lambda rate: optax.MultiSteps(optax.sgd(rate), 4), "pass accumulate=k"),
        (
            lambda rate: optax.MultiSteps(optax.sgd(rate), 4).gradient_transformation(),
            "pass accumulate=k",
        ),
        (
            lambda rate: optax.chain(optax.apply_every(4), optax.sgd(rate)),
            "pass accumulate=k",
        ),
        (optax.MultiSteps(optax.sgd(0.1), 4), "optimizer to be a function of"),
        (optax.lbfgs, "a line search chooses its own: leave it out"),
        (
            lambda rate: optax.chain(
                optax.sgd(rate), optax.scale_by_backtracking_linesearch(5)
            ),
            "a line search chooses its own",
        ),
        (lambda rate: optax.sgd(0.1), "asks for its rate at each update, got one that"),
        (lambda rate: optax.set_to_zero(), "asks for its rate at each update"),
        (lambda rate: optax.lookahead(optax.sgd(rate), 5, 0.5), "init_synced"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*has no attribute `fast`")
def test_optimizers_without_a_curve_are_refused(optimizer, match):
    params, batches = problem()
    with pytest.raises(TypeError, match=match):
        lr_range_test(regression, params, batches, optimizer=optimizer)


@pytest.mark.parametrize(
    "optimizer", [optax.rprop, lambda rate: optax.sgd(rate[0]), optax.polyak_sgd]
)
def test_what_an_optimizer_raises_says_how_it_was_called(optimizer):
    with pytest.raises(TypeError) as raised:
        lr_range_test(regression, *problem(), optimizer=optimizer)
    assert "goes through optax.inject_hyperparams" in "".join(raised.value.__notes__)


@pytest.mark.parametrize(
    ("optimizer", "call"),
    [
        (contrib.sophia, "called update(grads, state, params, value"),
        (lambda rate: optax.adam(rate, beta=0.9), "called optimizer(schedule)"),
    ],
)
def test_only_what_took_a_schedule_for_a_number_is_told_so(optimizer, call):
    with pytest.raises((TypeError, ValueError)) as raised:
        lr_range_test(regression, *problem(), optimizer=optimizer)
    notes = "".join(raised.value.__notes__)
    assert call in notes
    assert "inject_hyperparams" not in notes


def test_only_where_batches_are_accumulated_there_is_room_for_a_sum():
    params, _ = problem()
    training = Training(
        "f",
        regression,
        optax.sgd,
        1,
        np.dtype(np.float32),
        stateful=False,
        has_aux=False,
        stacked=True,
    )
    assert training(params, None).sums is None
    loss, grads = dataclasses.replace(training, accumulate=2)(params, None).sums
    assert jax.tree.map(jnp.shape, grads) == jax.tree.map(jnp.shape, params)
    assert loss == 0


@pytest.mark.parametrize("name", ["sgd", "momentum", "adamw"])
@pytest.mark.parametrize("streamed", [False, True])
def test_accumulated_batches_are_one_large_batch(name, streamed):
    params, batches = problem()
    four = jax.tree.map(lambda a: a.reshape(12, 4, *a.shape[2:]), batches)
    if streamed:
        four = [jax.tree.map(lambda a, i=i: a[i], four) for i in range(12)]
    large, small = (
        lr_range_test(regression, params, given, optimizer=OPTIMIZERS[name], **more)
        for given, more in ((batches, LIMITS), (four, LIMITS | {"accumulate": 4}))
    )
    np.testing.assert_allclose(small.losses, large.losses, rtol=1e-5)
    np.testing.assert_allclose(small.smoothed, large.smoothed, rtol=1e-5)
    assert small.num_finite == large.num_finite == 12


def test_several_weight_decays_are_one_program():
    params, batches = problem()
    decays = jnp.array([0.0, 0.01, 0.1, 1.0, 5.0])

    def test(decay):
        optimizer = functools.partial(optax.adamw, weight_decay=decay)
        return lr_range_test(
            regression, params, batches, optimizer=optimizer, max_lr=0.3, num_steps=40
        )

    for mapped in (jax.vmap(test)(decays), jax.jit(jax.vmap(test))(decays)):
        for i, decay in enumerate(decays.tolist()):
            one = test(decay)
            np.testing.assert_allclose(mapped.losses[i], one.losses, rtol=1e-5)
            assert mapped.num_finite[i] == one.num_finite


@pytest.mark.parametrize(("dtype", "gradient"), [("bfloat16", 1), ("float16", 1e-5)])
def test_accumulated_gradients_of_low_precision_are_not_lost(dtype, gradient):
    """In their own type the last of many would be, or a share of a small one."""

    def loss_fn(params, batch):
        return jnp.sum(params * batch), params

    limits = {"min_lr": 0.01 / gradient, "max_lr": 0.1 / gradient, "num_steps": 10}
    params, batches = jnp.ones(1, dtype), jnp.full((1, 1), gradient, dtype)
    one, several = (
        lr_range_test(
            loss_fn, params, batches, accumulate=count, has_aux=True, **limits
        )
        for count in (1, 512)
    )
    np.testing.assert_array_equal(several.aux[:, 0], one.aux)
    assert one.aux[-1] < one.aux[0]
    assert several.losses.dtype == one.losses.dtype == jnp.float32
    np.testing.assert_allclose(several.losses, one.losses, rtol=1e-5)


def test_each_accumulated_batch_has_its_own_key():
    def loss_fn(params, batch, key):
        return jnp.sum(params), jax.random.key_data(key)

    key = jax.random.key(7)
    test = lr_range_test(
        loss_fn, jnp.ones(1), None, key=key, has_aux=True, accumulate=3, **LIMITS
    )
    keys = jax.vmap(functools.partial(jax.random.fold_in, key))(jnp.arange(36))
    expected = jax.random.key_data(keys).reshape(12, 3, -1)
    np.testing.assert_array_equal(test.aux, expected)

"""The schedules inside Optax: every way an optimizer takes a rate."""

import tempfile
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import exact_rate

from clr_optax import clr_schedule, momentum_schedule

SCHEDULE = clr_schedule(0.125, 1.0, 3, step_size_down=2)
MOMENTUM = momentum_schedule(0.5, 0.75, 3, step_size_down=2)
RATES = [float(exact_rate(count, 0.125, 1.0, 3, 2)) for count in range(40)]
MOMENTA = [float(exact_rate(count, 0.75, 0.5, 3, 2)) for count in range(40)]
PARAMS = {"kernel": jnp.ones((2, 3)), "bias": jnp.zeros(3)}
GRADS = {"kernel": jnp.full((2, 3), 2.0), "bias": jnp.full(3, -1.0)}


def run(optimizer, steps, params=PARAMS, grads=GRADS):
    """Returns the updates of each step for the same gradients, and the last state."""
    state, every = optimizer.init(params), []
    update = jax.jit(optimizer.update)
    for _ in range(steps):
        updates, state = update(grads, state, params)
        every.append(updates)
    return every, state


def check_updates(every, rates):
    """Checks that each step's updates are minus its rate times the gradients."""
    assert len(every) == len(rates)
    for updates, rate in zip(every, rates, strict=True):
        for name, update in updates.items():
            np.testing.assert_allclose(update, -rate * GRADS[name], rtol=1e-6, atol=0)


def test_sgd_follows_the_schedule():
    every, _ = run(optax.sgd(SCHEDULE), 12)
    check_updates(every, RATES[:12])


def test_adamw_follows_the_schedule():
    every, _ = run(optax.adamw(SCHEDULE, weight_decay=0.1), 12)
    unscaled, _ = run(optax.adamw(1.0, weight_decay=0.1), 12)
    for updates, ones, rate in zip(every, unscaled, RATES, strict=False):
        for name, update in updates.items():
            np.testing.assert_allclose(update, rate * ones[name], rtol=1e-5, atol=0)


def test_chain_follows_the_schedule():
    clipped = optax.chain(
        optax.clip(0.5),
        optax.scale(2.0),
        optax.scale_by_schedule(SCHEDULE),
        optax.scale(-1.0),
    )
    every, _ = run(clipped, 6)
    for updates, rate in zip(every, RATES, strict=False):
        np.testing.assert_allclose(updates["kernel"], -rate, rtol=1e-6)
        np.testing.assert_allclose(updates["bias"], rate, rtol=1e-6)


def test_inject_hyperparams_shows_rate_and_momentum():
    optimizer = optax.inject_hyperparams(optax.sgd)(
        learning_rate=SCHEDULE, momentum=MOMENTUM
    )
    velocity = 0.0
    for count in range(1, 12):
        every, state = run(optimizer, count)
        rate, momentum = RATES[count - 1], MOMENTA[count - 1]
        velocity = momentum * velocity + GRADS["kernel"]
        np.testing.assert_allclose(every[-1]["kernel"], -rate * velocity, rtol=1e-5)
        shown = state.hyperparams
        np.testing.assert_allclose(shown["learning_rate"], rate, rtol=1e-6)
        np.testing.assert_allclose(shown["momentum"], momentum, rtol=1e-6)


def test_adams_b1_can_cycle():
    optimizer = optax.inject_hyperparams(optax.adam)(learning_rate=0.1, b1=MOMENTUM)
    _, state = run(optimizer, 4)
    np.testing.assert_allclose(state.hyperparams["b1"], MOMENTA[3], rtol=1e-6)


def test_rate_stays_float32_for_bfloat16_parameters():
    params = {"weight": jnp.ones(3, jnp.bfloat16)}
    optimizer = optax.inject_hyperparams(optax.sgd)(learning_rate=SCHEDULE)
    every, state = run(optimizer, 2, params, params)
    assert optax.apply_updates(params, every[-1])["weight"].dtype == jnp.bfloat16
    assert run(optax.sgd(SCHEDULE), 1, params, params)[0][0]["weight"].dtype == (
        jnp.bfloat16
    )
    assert state.hyperparams["learning_rate"].dtype == jnp.float32
    np.testing.assert_allclose(
        state.hyperparams["learning_rate"], RATES[1], rtol=1e-6, atol=0
    )


def test_multi_transform_keeps_schedules_apart():
    slow = clr_schedule(0.25, 0.5, 7)
    groups = {"kernel": optax.sgd(SCHEDULE), "bias": optax.sgd(slow)}
    every, _ = run(optax.multi_transform(groups, {k: k for k in groups}), 12)
    check_updates([{"kernel": updates["kernel"]} for updates in every], RATES[:12])
    rates = [float(exact_rate(count, 0.25, 0.5, 7)) for count in range(12)]
    check_updates([{"bias": updates["bias"]} for updates in every], rates)


def test_multi_steps_advances_once_in_k():
    every, _ = run(optax.MultiSteps(optax.sgd(SCHEDULE), every_k_schedule=3), 12)
    quiet = [rate for i in range(4) for rate in (0.0, 0.0, RATES[i])]
    check_updates(every, quiet)


def test_join_schedules_begins_the_cycle_at_its_boundary():
    joined = optax.join_schedules([optax.constant_schedule(0.5), SCHEDULE], [4])
    got = [float(joined(count)) for count in range(10)]
    np.testing.assert_allclose(got, [0.5] * 4 + RATES[:6], rtol=1e-6)


def test_scan_over_updates_equals_the_loop():
    optimizer = optax.sgd(SCHEDULE, momentum=0.5)

    def step(carry, _):
        params, state = carry
        updates, state = optimizer.update(GRADS, state, params)
        return (optax.apply_updates(params, updates), state), updates

    carry = PARAMS, optimizer.init(PARAMS)
    _, scanned = jax.jit(lambda carry: jax.lax.scan(step, carry, None, 12))(carry)
    looped, _ = run(optimizer, 12)
    for i, updates in enumerate(looped):
        for name, update in updates.items():
            np.testing.assert_array_max_ulp(scanned[name][i], update, maxulp=2)


def test_donated_state_works():
    optimizer = optax.adam(SCHEDULE)
    step = jax.jit(lambda state: optimizer.update(GRADS, state), donate_argnums=0)
    state = optimizer.init(PARAMS)
    for count in range(4):
        with jax.debug_nans(False):  # which donates nothing
            old, (_, state) = state, step(state)
        assert old[0].count.is_deleted()
        assert state[-1].count == count + 1


def test_count_saturated_at_int32_still_has_a_rate():
    optimizer = optax.sgd(SCHEDULE)
    full = optax.tree.set(optimizer.init(PARAMS), count=jnp.int32(2**31 - 1))
    updates, state = optimizer.update(GRADS, full)
    assert state[-1].count == 2**31 - 1
    check_updates([updates], [RATES[(2**31 - 1) % 5]])


@settings(max_examples=6)
@given(stop=st.integers(0, 30), more=st.integers(0, 9))
def test_resuming_equals_never_having_stopped(stop, more):
    optimizer = optax.inject_hyperparams(optax.sgd)(
        learning_rate=SCHEDULE, momentum=MOMENTUM
    )
    step = jax.jit(lambda state, params: optimizer.update(params, state, params))

    def train(params, state, steps):
        for _ in range(steps):
            updates, state = step(state, params)
            params = optax.apply_updates(params, updates)
        return params, state

    checkpoint = pytest.importorskip("orbax.checkpoint")
    start = PARAMS, optimizer.init(PARAMS)
    stopped = train(*start, stop)
    with tempfile.TemporaryDirectory() as folder:
        with checkpoint.StandardCheckpointer() as checkpointer:
            checkpointer.save(Path(folder) / "state", stopped)
        with checkpoint.StandardCheckpointer() as checkpointer:
            restored = checkpointer.restore(Path(folder) / "state", start)
    resumed, unbroken = train(*restored, more), train(*start, stop + more)
    jax.tree.map(np.testing.assert_array_equal, resumed, unbroken)


@pytest.mark.parametrize("mult", [1, 2])
@pytest.mark.parametrize("mode", ["triangular", "triangular2", "exp_range"])
def test_momentum_mirrors_the_rate(mode, mult):
    counts = jnp.arange(30)
    options = {"mode": mode, "step_size_down": 3, "cycle_mult": mult}
    if mode == "exp_range":
        options["gamma"] = 0.9375
    rate = clr_schedule(0.5, 0.75, 5, **options)(counts)
    momentum = momentum_schedule(0.5, 0.75, 5, **options)(counts)
    np.testing.assert_allclose(rate + momentum, 1.25, rtol=1e-6)
    assert momentum[0] == 0.75
    assert momentum[5] == (0.5 if mode != "exp_range" else 0.75 - 0.25 * 0.9375**5)


def test_gradients_reach_the_bounds_through_an_optimizer():
    def last_weight(max_lr):
        optimizer = optax.sgd(clr_schedule(0.0, max_lr, 2))
        params, state = jnp.float32(0.0), optimizer.init(jnp.float32(0.0))
        for _ in range(4):
            updates, state = optimizer.update(jnp.float32(-1.0), state)
            params = optax.apply_updates(params, updates)
        return params

    tops = jnp.array([0.5, 1.0])
    assert jax.vmap(last_weight)(tops).tolist() == [1.0, 2.0]
    assert jax.jit(jax.vmap(jax.grad(last_weight)))(tops).tolist() == [2.0, 2.0]


def test_exp_range_may_be_told_that_it_goes_by_iterations():
    options = {"mode": "exp_range", "gamma": 0.5, "scale_mode": "iterations"}
    assert clr_schedule(0.0, 1.0, 4, **options)(4) == 0.5**4

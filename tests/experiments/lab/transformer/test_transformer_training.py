"""Runs on the devices, against a plain loop."""

import jax
import numpy as np
import optax
import pytest

from lab.transformer.network import Network
from lab.transformer.protocol import SHORT, final_arms
from lab.transformer.text import loader, read_text, windows
from lab.transformer.training import Stage, trained

TEXT = read_text()
LENGTH = 12
ARM = "CLR one cycle, b1 too"


@pytest.fixture(scope="module")
def network():
    return Network(SHORT, TEXT.vocabulary)


@pytest.fixture(scope="module")
def stage():
    arms = final_arms(0.001, 0.01, 0.02, LENGTH)
    return Stage("final", LENGTH, arms, 2, TEXT.first, TEXT.second[:500])


@pytest.fixture(scope="module")
def rows(stage, network):
    return [row for some in trained(stage, network, []) for row in some]


@pytest.mark.slow
def test_a_run_is_what_a_plain_loop_computes(stage, network, rows):
    seed, arm = 1, stage.arms[ARM]
    optimizer = optax.inject_hyperparams(optax.adamw)(
        learning_rate=arm.schedule, b1=arm.b1
    )
    key = jax.random.key(seed)
    params, rest = network.start(key)
    state = optimizer.init(params)
    batches = iter(loader(TEXT.first, SHORT.context, SHORT.batch_size, seed))
    losses = []
    gradient = jax.jit(jax.value_and_grad(network.loss_fn, has_aux=True))
    for _ in range(LENGTH):
        key, dropout_key = jax.random.split(key)
        (loss, rest), grads = gradient(params, rest, next(batches), dropout_key)
        updates, state = optimizer.update(grads, state, params)
        params = optax.apply_updates(params, updates)
        losses.append(loss)
    tokens, counted = windows(stage.scored, SHORT.context)
    bits = network.score(params, rest, tokens)[counted].mean()

    row = next(r for r in rows if (r["arm"], r["seed"]) == (ARM, seed))
    assert row["bits"] == pytest.approx(float(bits), rel=1e-4)
    means = np.reshape(losses, (-1, SHORT.every)).mean(axis=1)
    np.testing.assert_allclose(row["losses"], means, rtol=1e-4)


def test_every_arm_meets_every_seed_once(stage, rows):
    runs = [(row["arm"], row["seed"]) for row in rows]
    assert sorted(runs) == sorted((arm, seed) for arm in stage.arms for seed in (0, 1))
    assert len({row["bits"] for row in rows}) == len(rows)


def test_what_is_known_is_not_trained_again(stage, network, rows):
    assert list(trained(stage, network, rows)) == []
    others = [row | {"length": LENGTH + 1} for row in rows]
    assert next(trained(stage, network, others))


def test_a_run_does_not_depend_on_its_neighbours(stage, network, rows):
    lost = rows[3]
    ((again,),) = trained(stage, network, [row for row in rows if row is not lost])
    assert again == lost

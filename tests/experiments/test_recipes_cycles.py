"""Recipes for the middle and the ends of runs, and for losses of other kinds."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from recipe_code import batches_of, check_output, code_of, line, run, split, triangle

from clr_optax import lr_range_test

X, Y = line()
BATCHES = batches_of(x=split(X), y=split(Y))


def square(params, batch):
    return jnp.mean((batch["x"] @ params - batch["y"]) ** 2)


def test_a_run_goes_on_by_other_bounds(capsys):
    joined, _ = code_of("A run in phases")
    schedule = run(joined)["schedule"]
    check_output(capsys.readouterr().out, "A run in phases")
    counts = np.arange(6000)
    expected = np.where(
        counts < 3000,
        triangle(counts, 1e-3, 1e-2, 2000),
        triangle(counts - 3000, 1e-4, 1e-3, 500),
    )
    np.testing.assert_allclose(schedule(counts), expected, rtol=1e-5)


def test_frozen_parameters_stay_until_their_phase():
    joined, frozen = code_of("A run in phases")
    optimizer = run(frozen, **run(joined))["optimizer"]
    params = {"encoder": jnp.ones(2), "head": jnp.ones(2)}

    @jax.jit
    def step(carry, _):
        params, state = carry
        updates, state = optimizer.update(params, state, params)
        params = optax.apply_updates(params, updates)
        return (params, state), params

    start = params, optimizer.init(params)
    _, after = jax.lax.scan(step, start, None, 1001)
    assert (after["encoder"][:1000] == 1).all()
    assert (after["encoder"][1000] < 1).all()
    assert (after["head"][0] < 1).all()


def test_the_count_that_is_set_back_is_adams_too():
    state = optax.adam(lambda count: 0.1).init(jnp.ones(2))
    counts = optax.tree_utils.tree_get_all_with_path(
        optax.tree_utils.tree_set(state, count=7), "count"
    )
    assert [count for _, count in counts] == [7, 7]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_ends_of_cycles_are_saved_and_averaged(capsys, tmp_path):
    """The statistics are a running mean of the inputs, which the loss takes off."""
    average, orbax = code_of("The ends of cycles")

    def loss_fn(params, stats, batch):
        mean = batch["x"].mean(0)
        outputs = (batch["x"] - mean) @ params["w"] + params["b"]
        loss = jnp.mean((outputs - batch["y"]) ** 2)
        return loss, 0.9 * stats + 0.1 * mean + 0.01 * params["b"]

    saved, drawn = {}, []

    def batches():
        for batch in itertools.cycle(BATCHES):
            drawn.append(batch)
            yield batch

    names = run(
        average,
        loss_fn=loss_fn,
        params={"w": jnp.zeros(3), "b": jnp.zeros(())},
        stats=jnp.zeros(3),
        batches=batches(),
        save=lambda count, *arrays: saved.update({count: arrays}),
    )
    assert sorted(saved) == [100, 200, 300]
    ends = [params for params, _, _ in saved.values()]
    mean = jax.tree.map(lambda *leaves: sum(leaves) / 3, *ends)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5),
        names["average"],
        mean,
    )
    assert len(drawn) == 350
    stats = saved[300][1]
    for batch in drawn[300:]:
        stats = loss_fn(mean, stats, batch)[1]
    np.testing.assert_allclose(names["stats"], stats, rtol=1e-4, atol=1e-7)

    names = run(orbax, **names | {"folder": tmp_path})
    check_output(capsys.readouterr().out, "The ends of cycles")
    jax.tree.map(
        np.testing.assert_array_equal,
        names["arrays"],
        {name: names[name] for name in ("params", "stats", "state")},
    )
    names["manager"].close()
    ocp = names["ocp"]
    with ocp.StandardCheckpointer() as standard, pytest.raises(ValueError, match="str"):
        standard.save(tmp_path / "text", names["schedule"].config())


@pytest.mark.slow
def test_a_schedule_counts_the_updates_of_its_optimizer(capsys):
    counted, _ = code_of("What a schedule counts")

    def train(optimizer, steps):
        params = jnp.ones(3)
        state = optimizer.init(params)
        for step in range(steps):
            gradient = params * (jnp.nan if step == 5 else 1)
            _, state = optimizer.update(gradient, state, params)
        return state

    run(counted, train=train)
    check_output(capsys.readouterr().out, "What a schedule counts")


def test_a_loss_scale_moves_no_bounds(capsys):
    _, scaled = code_of("What a schedule counts")
    batches = [{"x": X, "y": Y}]
    given = {"loss_fn": square, "params": jnp.zeros(3), "batches": batches}
    test = run(scaled, optax=optax, **given)["test"]
    check_output(capsys.readouterr().out, "What a schedule counts", 1, rtol=0.2)
    plain = lr_range_test(*given.values(), optimizer=optax.adam)
    np.testing.assert_allclose(test.bounds(), plain.bounds(), rtol=1e-3)


def test_returns_are_losses_with_another_sign(capsys):
    learn, _ = code_of("Losses of other kinds")
    means = jnp.linspace(0, 1, 8)

    def train(optimizer, episodes):
        """Policy gradients on a bandit of eight arms, 64 pulls an episode."""
        logits = jnp.zeros(8)
        state, returns = optimizer.init(logits), []

        @jax.jit
        def episode(logits, state, key):
            arms = jax.random.categorical(key, logits, shape=(64,))
            rewards = means[arms] + 0.1 * jax.random.normal(key, (64,))

            def objective(logits):
                chances = jax.nn.log_softmax(logits)[arms]
                return -jnp.mean((rewards - rewards.mean()) * chances)

            updates, state = optimizer.update(jax.grad(objective)(logits), state)
            return optax.apply_updates(logits, updates), state, rewards.mean()

        for key in jax.random.split(jax.random.key(0), episodes):
            logits, state, mean = episode(logits, state, key)
            returns.append(mean)
        assert returns[-1] > returns[0] + 0.3
        return returns

    run(learn, train=train)
    check_output(capsys.readouterr().out, "Losses of other kinds", rtol=0.3)


def test_one_half_of_a_gan_is_tested(capsys):
    _, half = code_of("Losses of other kinds")

    def discriminator_loss(discriminator, generator, batch, key):
        fake = jax.random.normal(key, batch.shape) * generator
        logits = [x @ discriminator["w"] + discriminator["b"] for x in (batch, fake)]
        return jax.nn.softplus(-logits[0]).mean() + jax.nn.softplus(logits[1]).mean()

    real = 1 + 0.3 * jax.random.normal(jax.random.key(1), (4, 64, 3))
    test = run(
        half,
        discriminator_loss=discriminator_loss,
        generator=jnp.full(3, 0.5),
        discriminator={"w": jnp.zeros(3), "b": jnp.zeros(())},
        batches=real,
        key=jax.random.key(0),
        lr_range_test=lr_range_test,
    )["test"]
    check_output(capsys.readouterr().out, "Losses of other kinds", 1, rtol=0.3)
    assert test.losses[0] == pytest.approx(2 * np.log(2))

"""Recipes that set and read rates have the rates that they claim."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from recipe_code import check_output, code_of, run, triangle


def numbers(printed: str) -> np.ndarray:
    return np.array([row.split() for row in printed.splitlines()], float)


def test_the_state_tells_rate_and_momentum(capsys):
    plain, _ = code_of("What is my rate now?")
    run(plain, params=jnp.ones(2), batches=jnp.ones((120, 2)))
    steps = np.arange(120)
    momenta = triangle(steps, 0.95, 0.85, 50)
    expected = np.stack([steps, triangle(steps, 1e-3, 1e-1, 50), momenta], 1)
    printed = capsys.readouterr().out
    np.testing.assert_allclose(numbers(printed), expected, rtol=1e-5)
    check_output(printed, "What is my rate now?")


@pytest.mark.slow
@pytest.mark.parametrize(
    "wrap", [lambda inner: inner, lambda inner: optax.MultiSteps(inner, 1)]
)
def test_the_state_of_a_chain_tells_the_rate(capsys, wrap):
    plain, chained = code_of("What is my rate now?")
    names = {"params": jnp.ones(2), "batches": jnp.ones((20, 2))}
    names = run(plain, **names)
    capsys.readouterr()
    names = run(chained, **names | {"optimizer": wrap(names["optimizer"])})
    expected = triangle(np.arange(20), 1e-3, 1e-1, 50)
    printed = capsys.readouterr().out
    np.testing.assert_allclose(numbers(printed)[:, 0], expected, rtol=1e-5)
    check_output(printed, "What is my rate now?", 1)
    with pytest.raises(KeyError, match="multiple values for 'learning_rate'"):
        optax.tree_utils.tree_get(names["state"], "learning_rate")


def test_cycles_follow_a_warm_up(capsys):
    schedule = run(code_of("Warm-up, then cycles")[0])["schedule"]
    check_output(capsys.readouterr().out, "Warm-up, then cycles")
    steps = np.arange(9000)
    expected = np.where(
        steps < 500, 1e-3 * steps / 500, triangle(steps - 500, 1e-3, 1e-2, 2000)
    )
    np.testing.assert_allclose(schedule(steps), expected, rtol=1e-6, atol=1e-9)
    assert float(schedule(2500)) == np.float32(1e-2)


def test_groups_have_bounds_of_their_own(capsys):
    train, _ = code_of("Groups of parameters")
    optimizer = run(train)["optimizer"]
    check_output(capsys.readouterr().out, "Groups of parameters")
    params = {"encoder": {"w": jnp.zeros(2)}, "head": jnp.zeros(3)}
    ones = {"encoder": {"w": jnp.ones(2)}, "head": jnp.ones(3)}
    state = optimizer.init(params)
    for step in (0, 1, 2):
        updates, state = optimizer.update(ones, state, params)
        encoder = -triangle(step, 1e-4, 1e-3, 2000)
        np.testing.assert_allclose(updates["encoder"]["w"], encoder, rtol=1e-6)
        np.testing.assert_allclose(updates["head"], 10 * encoder, rtol=1e-6)

"""Small losses, and the data for them, that the tests of the range test share."""

import jax
import jax.numpy as jnp


def quadratic(params, batch):
    curvatures, centre = batch
    return 0.5 * jnp.sum(curvatures * (params - centre) ** 2)


def regression(params, batch):
    x, y = batch
    return jnp.mean((jnp.tanh(x @ params["w"]) @ params["v"] - y) ** 2)


def convolution(params, batch):
    x, y = batch
    x = x.reshape(-1, 1, 4, 2)
    h = jax.lax.conv(x, params["w"].reshape(4, 1, 2, 2), (1, 1), "VALID")
    return jnp.mean((jnp.tanh(h).reshape(-1, 12) @ params["v"] - y) ** 2)


def problem(seed=0, dtype=jnp.float32, wide=(8, 6)):
    w, v, x, y = jax.random.split(jax.random.key(seed), 4)
    params = {"w": jax.random.normal(w, wide, dtype)}
    params["v"] = jax.random.normal(v, (wide[-1] if wide != (16,) else 12,), dtype)
    batches = (jax.random.normal(x, (3, 16, 8)), jax.random.normal(y, (3, 16)))
    return params, batches

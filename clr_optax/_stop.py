"""When a range test ends: its loss is not finite, or has risen for good."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

WINDOW = 1 / 20


class Stop(NamedTuple):
    """What the stop rule remembers between two steps, a pytree of scalars."""

    window: jax.Array
    total: jax.Array
    weight: jax.Array
    best: jax.Array
    previous: jax.Array
    stopped: jax.Array

    @classmethod
    def start(cls, num_steps: int, dtype: jax.typing.DTypeLike) -> "Stop":
        """Returns what is known before the first step."""
        window = jnp.full((), max(1, num_steps * WINDOW), dtype)
        zero = jnp.zeros((), dtype)
        return cls(window, zero, zero, zero, zero, jnp.zeros((), bool))

    def after(
        self, i: jax.Array, loss: jax.Array, factor: float | None
    ) -> tuple["Stop", jax.Array]:
        """Returns the rule after step i and the running mean of the losses.

        The loss is a scalar; factor says how many times the best is too much, None
        that only a loss that is not finite stops the test. Once stopped, it stays so.
        """
        loss = loss.astype(self.window.dtype)
        share = 1 / self.window
        total = (1 - share) * self.total + share * loss
        weight = (1 - share) * self.weight + share
        mean = total / weight
        early = i.astype(share.dtype) < self.window
        best = jnp.where(early, mean, jnp.minimum(self.best, mean))
        stopped = self.stopped | ~jnp.isfinite(loss)
        if factor is not None:
            lowest = jnp.minimum(jnp.minimum(loss, self.previous), mean)
            stopped |= ~early & (lowest - best > (factor - 1) * jnp.abs(best))
        return Stop(self.window, total, weight, best, loss, stopped), mean

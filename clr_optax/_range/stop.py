"""When a range test ends: its loss is not finite, or has risen for good."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

EARLY = 1 / 10
WINDOW = 1 / 20
FEWEST = 5
NOISE = 6
CAP = 3
UNIT = 2.0**-8


class Stop(NamedTuple):
    """What the stop rule remembers between two steps, a pytree of scalars.

    Means are exponential, bias corrected, over a twentieth of the steps, five at least.
    The test stops at a loss that is not finite, and where

        mean - best > (factor - 1) * abs(best)

    ====== ================================================= =========================
    mean   of the losses, none of them counting for more     one spike cannot lift it
           than three times the excess that stops the test   so far
    best   the lowest of mean + 6 noise**2 / mean; the noise a mean of few noisy
           is the mean step from loss to loss, at most the   losses is low now and
           mean: without noise the lowest mean, seven times  then by chance
           as much where all is noise
    from   no stop in the first tenth of the steps, nor in   the best of a few losses
           the first five                                    is chance as well
    ====== ================================================= =========================

    Losses are kept in units of 256, so that no sum of finite ones overflows.
    """

    mean: jax.Array
    noise: jax.Array
    best: jax.Array
    previous: jax.Array
    stopped: jax.Array

    @classmethod
    def start(cls, dtype: jax.typing.DTypeLike) -> "Stop":
        """Returns what is known before the first step."""
        mean, noise, best, previous = (jnp.zeros((), dtype) for _ in range(4))
        return cls(mean, noise, best, previous, jnp.zeros((), bool))

    def after(
        self,
        i: jax.Array,
        num_steps: int,
        loss: jax.Array,
        factor: jax.typing.ArrayLike | None,
    ) -> "Stop":
        """Returns the rule after step i.

        The loss is a scalar; factor None means that only a loss that is not finite
        stops the test. Once stopped, it stays so.
        """
        dtype = self.mean.dtype
        i = i.astype(dtype)
        finite = jnp.isfinite(loss)
        loss = loss.astype(dtype) * UNIT
        early = i < max(num_steps * EARLY, FEWEST)
        times = jnp.asarray(1 if factor is None else factor, dtype) - 1
        excess = times * jnp.abs(self.best)
        capped = jnp.where(early, loss, jnp.minimum(loss, self.best + CAP * excess))

        window = max(num_steps * WINDOW, FEWEST)
        mean = _towards(self.mean, capped, i, window)
        step = jnp.where(i > 0, jnp.abs(capped - self.previous), 0)
        noise = _towards(self.noise, step, i - 1, window)
        tiny = np.finfo(dtype).tiny
        part = noise / jnp.maximum(jnp.maximum(jnp.abs(mean), noise), tiny)
        sure = mean + NOISE * noise * part
        best = jnp.where(early, sure, jnp.minimum(self.best, sure))
        over = ~early & (mean - best > times * jnp.abs(best))
        stopped = self.stopped | ~finite | (over if factor is not None else False)
        return Stop(mean, noise, best, capped, stopped)


def running_means(losses: jax.Array) -> jax.Array:
    """Returns at each loss the mean of those until there, over a twentieth of all."""
    window = max(losses.size * WINDOW, 1)
    numbers = jnp.arange(losses.size, dtype=losses.dtype)

    def after(mean: jax.Array, at: tuple[jax.Array, jax.Array]) -> Any:
        i, loss = at
        mean = _towards(mean, loss, i, window)
        return mean, mean

    zero = jnp.zeros((), losses.dtype)
    _, means = jax.lax.scan(after, zero, (numbers, losses * UNIT))
    return jnp.asarray(means) / UNIT


def _towards(
    mean: jax.Array, value: jax.Array, i: jax.Array, window: float
) -> jax.Array:
    """Returns the bias-corrected exponential mean of the values 0 to i."""
    decay = 1 - 1 / window
    share = (1 - decay) / (1 - decay ** (jnp.maximum(i, 0) + 1))
    return (1 - share) * mean + share * value

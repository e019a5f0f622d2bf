"""The learning-rate range test: data in, curve out."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.typing import ArrayLike

from clr_optax._iterate import blank, iterate
from clr_optax._range_args import check_data, check_kinds, rates


class RangeTest(NamedTuple):
    """The curve of a range test, a pytree; after its stop there is NaN.

    Attributes:
      lrs: the rates, shape (num_steps,), from min_lr to max_lr, both exact.
      losses: the loss before the step at each rate.
      smoothed: the running mean of the losses that decided the stop.
      num_finite: how many losses there are before the stop.
      aux: the loss's auxiliary output of each step, stacked, or None; after the stop
        NaN, and zero where a dtype has no NaN.
    """

    lrs: jax.Array
    losses: jax.Array
    smoothed: jax.Array
    num_finite: jax.Array
    aux: Any


def lr_range_test(
    loss_fn: Callable[..., Any],
    params: Any,
    batches: Any,
    *,
    min_lr: ArrayLike = 1e-6,
    max_lr: ArrayLike = 10.0,
    num_steps: int = 100,
    spacing: str = "exponential",
    optimizer: Callable[[optax.Schedule], optax.GradientTransformation] = optax.sgd,
    key: jax.Array | None = None,
    has_aux: bool = False,
) -> RangeTest:
    """The loss of each step of a short training run whose rate rises from end to end.

        rate(i) = min_lr * (max_lr / min_lr) ** (i / (num_steps - 1))   "exponential"
        rate(i) = min_lr + (max_lr - min_lr) * i / (num_steps - 1)      "linear"

    Read the curve with ``suggest_bounds(test.lrs, test.losses)`` or ``suggest_lr``.

    The test stops at a loss that is not finite, and where the running mean of the
    losses (over a twentieth of the steps, bias corrected) and each of the last two
    losses exceed the mean's best value b by 3 abs(b): four times the best, for a
    positive loss. A single spike does not stop it. The compiled program goes on
    blindly, with nothing asked of the device, and what it computes after the stop is
    left out; where steps are dispatched one by one, on a CPU for a loss that
    convolves, they end soon after the stop.

    Nothing that was given is changed. Under ``vmap`` over params, key or batches it
    gives a curve for each seed: take the median of the suggestions, and their spread.
    Arrays sharded over several devices are computed where they are. A second call with
    the same loss_fn, optimizer and shapes compiles nothing, whatever the bounds; so
    both must be pure, and a lambda or a partial that is written anew is compiled anew.

    Args:
      loss_fn: ``loss_fn(params, batch)``, or ``loss_fn(params, batch, key)`` if a key
        is given, to a scalar loss, or to (loss, aux) with has_aux. It may close over
        data that batches are the indices of.
      params: a pytree of floating-point arrays, such as a dictionary or NNX state.
      batches: a pytree of arrays with a leading axis over batches; step i uses batch
        i modulo their number.
      min_lr: the first rate, a positive number.
      max_lr: the last rate, above min_lr.
      num_steps: how many rates are tried, 2 to 1,000,000. Suggestions need 10.
      spacing: "exponential", or "linear" as Smith has it.
      optimizer: from a schedule to an Optax transformation: ``optax.sgd``,
        ``optax.adamw``, ``functools.partial(optax.sgd, momentum=0.9)``.
      key: a random key; step i gets ``jax.random.fold_in(key, i)``.
      has_aux: whether loss_fn returns (loss, aux).

    Returns:
      A ``RangeTest``.

    Raises:
      TypeError: an argument of the wrong kind; what JAX raises for a loss_fn that is
        not differentiable to a scalar, and what loss_fn raises, come through as well.
      ValueError: a rate that is not finite and positive, max_lr not above min_lr by
        num_steps different rates, num_steps or spacing out of range, no params, no
        batches, or batches of different numbers.

    Examples:
      >>> import jax.numpy as jnp
      >>> from clr_core import suggest_bounds
      >>> def loss_fn(params, batch):
      ...     return 4 * jnp.sum((params - batch) ** 2)  # diverges above 2 / 8
      >>> test = lr_range_test(loss_fn, jnp.ones(3), jnp.zeros((1, 3)), min_lr=1e-4)
      >>> base_lr, max_lr = suggest_bounds(test.lrs, test.losses)
      >>> bool(0.0625 < max_lr < 0.25)
      True

    References:
      Smith, 2015, https://arxiv.org/abs/1506.01186, section 3.3.
    """
    check_kinds(loss_fn, optimizer, key, has_aux)
    params, batches = check_data(params, batches)
    lrs = rates(min_lr, max_lr, num_steps, spacing)
    step = _step(loss_fn, optimizer, has_aux)
    zero = jnp.zeros((), lrs.dtype)
    far = jnp.full((), jnp.inf, lrs.dtype)
    progress = _Progress(zero, zero, far, zero, jnp.zeros((), bool))
    decay = jnp.asarray(1 - 1 / max(1, lrs.size / 20), lrs.dtype)
    state = _State(params, _begin(optimizer)(params), progress, decay, batches, key)
    xs = (jnp.arange(lrs.size), lrs)
    _, (losses, smoothed, aux) = iterate(step, state, xs, done=_stopped)
    finite = jnp.isfinite(losses).sum()
    return RangeTest(lrs, losses, smoothed, finite, aux)


class _Progress(NamedTuple):
    """What the stop rule remembers."""

    total: jax.Array
    weight: jax.Array
    best: jax.Array
    previous: jax.Array
    stopped: jax.Array

    def after(self, loss: jax.Array, decay: jax.Array) -> tuple["_Progress", jax.Array]:
        total = decay * self.total + (1 - decay) * loss
        weight = decay * self.weight + (1 - decay)
        mean = total / weight
        best = jnp.minimum(self.best, mean)
        limit = best + 3 * jnp.abs(best)
        lowest = jnp.minimum(jnp.minimum(loss, self.previous), mean)
        stopped = self.stopped | ~jnp.isfinite(loss) | (lowest > limit)
        return _Progress(total, weight, best, loss, stopped), mean


class _State(NamedTuple):
    params: Any
    opt_state: Any
    progress: _Progress
    decay: jax.Array
    batches: Any
    key: jax.Array | None


def _stopped(state: _State) -> jax.Array:
    return state.progress.stopped


@functools.lru_cache(maxsize=8)
def _begin(optimizer: Any) -> Any:
    def init(params: Any) -> Any:
        transformation = optimizer(lambda count: jnp.zeros((), jnp.result_type(float)))
        if not isinstance(transformation, optax.GradientTransformation):
            rule = "optimizer to return an optax.GradientTransformation"
            got = f"got {type(transformation).__name__}"
            raise TypeError(f"lr_range_test needs {rule}, {got}.")
        return transformation.init(params)

    return jax.jit(init)


@dataclasses.dataclass(frozen=True)
class _Step:
    """One training step; equal for equal functions, and so compiled once for them."""

    loss_fn: Any
    optimizer: Any
    has_aux: bool

    def __call__(
        self, state: _State, x: tuple[jax.Array, jax.Array]
    ) -> tuple[_State, tuple[jax.Array, jax.Array, Any]]:
        i, lr = x
        params, opt_state, progress, decay, batches, key = state
        batch = jax.tree.map(lambda a: a[i % a.shape[0]], batches)
        keys = () if key is None else (jax.random.fold_in(key, i),)
        gradient = jax.value_and_grad(self.loss_fn, has_aux=self.has_aux)
        value, grads = gradient(params, batch, *keys)
        loss, aux = value if self.has_aux else (value, None)
        transformation = self.optimizer(lambda count: lr)
        updates, opt_state = transformation.update(grads, opt_state, params)
        params = optax.apply_updates(params, updates)

        loss = loss.astype(lr.dtype)
        over = progress.stopped | ~jnp.isfinite(loss)
        progress, mean = progress.after(loss, decay)
        y = jax.tree.map(
            lambda a: jnp.where(over, blank(a.shape, a.dtype), a),
            jax.tree.map(jnp.asarray, (loss, mean, aux)),
        )
        return _State(params, opt_state, progress, decay, batches, key), y


_step = functools.lru_cache(maxsize=8)(_Step)

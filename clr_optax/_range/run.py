"""The learning-rate range test: data in, curve out."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.typing import ArrayLike

from clr_optax._core import Spacing
from clr_optax._range.args import check_factor, check_kinds, check_params, check_whole
from clr_optax._range.batches import arrays, source
from clr_optax._range.curve import RangeTest
from clr_optax._range.devices import mesh_of, on_mesh
from clr_optax._range.iterate import iterate
from clr_optax._range.rates import rates
from clr_optax._range.start import Start, first_carry, keep
from clr_optax._range.stream import Stream
from clr_optax._range.training import Given, Point, TrainingStep
from clr_optax._range.words import needs


def lr_range_test(
    loss_fn: Callable[..., Any],
    params: Any,
    batches: Any,
    *,
    state: Any = None,
    min_lr: ArrayLike = 1e-6,
    max_lr: ArrayLike = 10.0,
    num_steps: int = 100,
    spacing: Spacing = "exponential",
    optimizer: Callable[[optax.Schedule], optax.GradientTransformation] = optax.sgd,
    accumulate: int = 1,
    stop_factor: float | None = 4.0,
    key: jax.Array | None = None,
    has_aux: bool = False,
) -> RangeTest:
    """Returns the loss of each step of a short training whose rate rises all the way.

        rate(i) = min_lr * (max_lr / min_lr) ** (i / (num_steps - 1))   "exponential"
        rate(i) = min_lr + (max_lr - min_lr) * i / (num_steps - 1)      "linear"

    ``bounds()`` and ``suggest()`` read the curve, ``plot()`` draws it.

    The test stops at a loss that is not finite, and where the running mean of the
    losses rises above stop_factor times its best value. From there on the rate is 0,
    the losses are left out, and no batch is asked for any more.

    Nothing that was given is changed: there is one copy of params and state, and it is
    donated from step to step. Arrays that are sharded over devices stay as they are,
    and the optimizer's state follows them. Under ``vmap`` over params, key, stacked
    batches, or a number in the optimizer, it gives a curve for each. A second call with
    the same functions and shapes compiles nothing, whatever the bounds; so loss_fn and
    optimizer must be pure, and a lambda that is written anew is compiled anew.

    Args:
        loss_fn: ``loss_fn(params, batch)`` to a scalar loss; with state
            ``loss_fn(params, state, batch)`` to (loss, state). With a key, the key
            comes last. With has_aux it returns (loss, aux), or (loss, (state, aux)).
            It may close over arrays.
        params: a pytree of floating-point arrays: what is trained.
        batches: one of three:
            - arrays of shapes (num_batches, batch_size, ...), stacked, or a pytree of
              them; step i uses batch i modulo their number. What looks like one batch
              or a whole data set is refused: arrays that differ in their first two
              axes, floats of two axes, or more batches than there are steps.
            - a list of batches, a loader, a generator, any iterable of pytrees of
              arrays. Two batches are in memory at a time, more only of small ones. An
              iterable that can be started again is. A batch of another shape is
              compiled for anew.
            - None for a loss_fn that needs no batches: it is given None.
        state: a pytree of arrays of any dtype that loss_fn hands on to the next batch,
            such as the statistics of batch normalisation.
        min_lr: the first rate, a positive number.
        max_lr: the last rate, above min_lr.
        num_steps: how many rates are tried, 2 to 1,000,000. Suggestions need 10.
        spacing: "exponential", or "linear" as Smith has it.
        optimizer: from a schedule to an Optax transformation: ``optax.sgd``,
            ``optax.adamw``, ``functools.partial(optax.sgd, momentum=0.9)``. Its update
            is given value, grad, value_fn and grad_fn if it takes them.
        accumulate: how many batches make a step: one rate, one update by the mean of
            their gradients, one point of the curve, the mean of their losses.
        stop_factor: how many times the best loss is too much, or None to stop only at
            a loss that is not finite.
        key: a random key; batch i gets ``jax.random.fold_in(key, i)``.
        has_aux: whether loss_fn returns an aux, a pytree of arrays, as well.

    Returns:
        A ``RangeTest``.

    Raises:
        TypeError: an argument of the wrong kind; a loss_fn that does not return what
            it must; an optimizer that accumulates by itself or searches for its rate;
            an iterable under ``jit`` or ``vmap``. What loss_fn raises comes through.
        ValueError: a rate that is not finite and positive, max_lr not above min_lr by
            num_steps different rates, a number out of range, no params, batches of
            wrong shapes, or fewer batches than the test needs.

    Examples:
        >>> import jax, jax.numpy as jnp, optax
        >>> def loss_fn(params, batch):
        ...     return 4 * jnp.sum((params - batch) ** 2)  # diverges above 2 / 8
        >>> test = lr_range_test(loss_fn, jnp.ones(3), jnp.zeros((1, 3)), min_lr=1e-4)
        >>> base_lr, max_lr = test.bounds()
        >>> 0.0625 < max_lr < 0.25
        True

        Batches from a loader, and a state that counts them:

        >>> def counting(params, state, batch):
        ...     return loss_fn(params, batch), {"seen": state["seen"] + 1}
        >>> test = lr_range_test(
        ...     counting,
        ...     jnp.ones(3),
        ...     (jnp.zeros(3) for _ in range(100)),
        ...     state={"seen": 0},
        ...     min_lr=1e-4,
        ... )
        >>> test.bounds() == (base_lr, max_lr)
        True

        Three weight decays in one program:

        >>> def with_decay(weight_decay):
        ...     optimizer = lambda rate: optax.adamw(rate, weight_decay=weight_decay)
        ...     batches = jnp.zeros((1, 3))
        ...     return lr_range_test(loss_fn, jnp.ones(3), batches, optimizer=optimizer)
        >>> jax.vmap(with_decay)(jnp.array([0.0, 0.1, 1.0])).losses.shape
        (3, 100)

    References:
        Smith, 2015, https://arxiv.org/abs/1506.01186, section 3.3.
    """
    check_kinds(loss_fn, optimizer, key, has_aux)
    params, stateful = check_params(params), state is not None
    state = arrays("state", state)
    lrs = rates(min_lr, max_lr, num_steps, spacing)
    check_whole("accumulate", accumulate, 1)
    length = lrs.size * accumulate
    batches = source(batches, length)
    stream = isinstance(batches, Stream)
    mesh = mesh_of((params, state, batches.first() if stream else batches))
    given = Given(lrs, check_factor(stop_factor, lrs.dtype), key)
    start = Start(optimizer, accumulate, lrs.size, lrs.dtype)
    step = TrainingStep(loss_fn, start, stateful, has_aux, stacked=not stream)
    carry = first_carry(start, params, state, mesh)
    carry, points = iterate(step, carry, on_mesh(mesh, given), batches, length)
    keep(start, carry)
    if stream:
        _check_enough(batches.taken, length, carry.stop.stopped)
    with jax.debug_nans(False), jax.debug_infs(False):
        return _curve(lrs, points, accumulate)


def _check_enough(taken: int, wanted: int, stopped: Any) -> None:
    """Raises ValueError where an iterable was used up before the test had an end."""
    if taken < wanted and not stopped:
        raise ValueError(
            needs(
                f"{wanted} batches (num_steps times accumulate)",
                "an iterable that can start again, such as a list, may be shorter"
                if taken
                else "the iterable is empty",
                got=taken,
            )
        )


def _curve(lrs: jax.Array, points: Point, accumulate: int) -> RangeTest:
    """Returns the points as a curve, with NaN or zero where none was reached."""
    last = slice(accumulate - 1, None, accumulate)
    reached = points.reached[last]

    def blank(a: jax.Array) -> jax.Array:
        nothing = jnp.nan if jnp.issubdtype(a.dtype, jnp.inexact) else 0
        where = reached.reshape(-1, *(1,) * (a.ndim - 1))
        return jnp.where(where, a, jnp.asarray(nothing, a.dtype))

    aux = points.aux
    if accumulate > 1:
        aux = jax.tree.map(lambda a: a.reshape(-1, accumulate, *a.shape[1:]), aux)
    aux = jax.tree.map(blank, aux)
    losses, smoothed = blank(points.loss[last]), blank(points.smoothed[last])
    return RangeTest(lrs, losses, smoothed, reached.sum(), aux)

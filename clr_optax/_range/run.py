"""The learning-rate range test: data in, curve out."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.typing import ArrayLike

from clr_optax._core import POINTS
from clr_optax._range.args import (
    MOST_BATCHES,
    Spacing,
    arrays,
    check_function,
    factor,
    keys_of,
    parameters,
    rates,
    whole,
)
from clr_optax._range.batches import Stream, source
from clr_optax._range.curve import RangeTest
from clr_optax._range.loop import Run, iterate
from clr_optax._range.mesh import Devices, made_on_mesh, mesh_of, on_mesh
from clr_optax._range.raised import raised_at
from clr_optax._range.step import Carry, Given, Point, Training, TrainingStep
from clr_optax._range.stop import running_means
from clr_optax._types import Batches, LossFn, Optimizer, PyTree

_NAME = "lr_range_test"


def lr_range_test(
    loss_fn: LossFn,
    params: PyTree,
    batches: Batches,
    *,
    state: PyTree = None,
    min_lr: ArrayLike = 1e-6,
    max_lr: ArrayLike = 10.0,
    num_steps: int | np.integer[Any] = 100,
    spacing: Spacing = "exponential",
    optimizer: Optimizer = optax.sgd,
    accumulate: int | np.integer[Any] = 1,
    stop_factor: ArrayLike | None = 4.0,
    key: jax.Array | None = None,
    has_aux: bool = False,
) -> RangeTest:
    """Returns the loss of each step of a short training whose rate rises all the way.

    Run it before you train, to find the bounds of a cycle: ``bounds()`` of the result
    are base_lr and max_lr, ``plot()`` draws the losses. Nothing that is given is
    changed.

    >>> import jax, jax.numpy as jnp, optax
    >>> from clr_optax import clr_schedule, lr_range_test
    >>> def loss_fn(params, batch):
    ...     return jnp.sum((params - batch) ** 2)  # diverges above a rate of 1
    >>> batches = jnp.zeros((1, 3))  # stacked: one batch of three numbers
    >>> test = lr_range_test(loss_fn, jnp.ones(3), batches, min_lr=1e-4)
    >>> test
    RangeTest(96 losses, rates 0.0001 to 10; bounds 0.00565 to 0.0565)
    >>> schedule = clr_schedule(*test.bounds(), step_size=2000)

    The rates, for i from 0 to num_steps - 1:

        min_lr * (max_lr / min_lr) ** (i / (num_steps - 1))   "exponential"
        min_lr + (max_lr - min_lr) * i / (num_steps - 1)      "linear"

    The test stops at a loss that is not finite, and where loss_fn raises while it is
    computed, as ``eqx.error_if`` or a solver may: the result says what and at which
    rate. After the first tenth of the steps it also stops where the running mean of the
    losses has risen above stop_factor times its best value. The losses after the stop
    are NaN, the rate is 0, and an iterable is asked for at most eight more batches.

    Args:
        loss_fn: ``loss_fn(params, batch)`` to a scalar loss; with state
            ``loss_fn(params, state, batch)`` to (loss, state). With a key, the key
            comes last. With has_aux it returns (loss, aux), or (loss, (state, aux)).
            It may close over arrays.
        params: a pytree of floating-point arrays: what is trained. Or a function that
            makes it of a key.
        batches: one of three:
            - a list of batches, a loader, a generator, any iterable of pytrees of
              arrays. Two batches are in memory at a time, more only of small ones: each
              needs arrays of its own, no buffer that is filled again. An iterable that
              can be started again is. A batch of another shape is compiled for anew.
            - arrays of shapes (num_batches, batch_size, ...), stacked, or a pytree of
              them; step i uses batch i modulo their number. What looks like one batch
              or a whole data set is refused: arrays that differ in their first two
              axes, that all have two (but for a single one of integers), or more of
              equal shapes than there are steps. One batch x is x[None]; a batch of
              sequences, (batch_size, time, ...), cannot be told from stacked ones.
            - None for a loss_fn that needs no batches: it is given None.
        state: a pytree of arrays of any dtype that loss_fn hands on to the next batch,
            such as the statistics of batch normalisation. Default None: there is none.
        min_lr: the first rate, 1e-30 or more; default 1e-6.
        max_lr: the last rate, above min_lr; default 10.
        num_steps: how many rates are tried, 2 to 1,000,000; default 100. Bounds and
            suggestions need 10.
        spacing: "exponential", the default, or "linear" as Smith has it.
        optimizer: from a schedule to an Optax transformation: ``optax.sgd``, the
            default, ``optax.adamw``, ``functools.partial(optax.sgd, momentum=0.9)``.
            Its update is given value, grad, value_fn and grad_fn if it takes them.
        accumulate: how many batches make a step; default 1. A step has one rate, one
            update by the mean of their gradients, and the mean of their losses as its
            point of the curve.
        stop_factor: how many times the best loss is too much, above 1; default 4. None
            stops only at a loss that is not finite.
        key: a random key; batch i gets ``jax.random.fold_in(key, i)``. Default None:
            loss_fn gets no key. Several keys, ``jax.random.split(key, 3)``, make as
            many tests on the same batches: the result holds a curve for each, and its
            bounds are their medians.
        has_aux: whether loss_fn returns an aux, a pytree of arrays, as well; default
            False.

    Returns:
        A ``RangeTest``, of the losses before each step.

    Raises:
        TypeError: an argument of the wrong kind; a loss_fn that does not return what
            it must; an optimizer that accumulates by itself, searches for its rate or
            does not ask for it; an iterable under ``jit`` or ``vmap``.
        ValueError: a rate that is not finite and positive, max_lr not above min_lr by
            num_steps different rates, a number out of range, no params, batches of
            wrong shapes, or fewer batches than the test needs.
        Exception: what batches or the tracing of loss_fn raise comes through, and what
            loss_fn raises at one of the first ten steps, or in a caller's jit or vmap.

    Examples:
        Batches from a generator, and a state that counts them:

        >>> def counting(params, state, batch):
        ...     return loss_fn(params, batch), {"seen": state["seen"] + 1}
        >>> loader = (jnp.zeros(3) for _ in range(100))
        >>> state = {"seen": 0}
        >>> again = lr_range_test(
        ...     counting, jnp.ones(3), loader, state=state, min_lr=1e-4
        ... )
        >>> again.bounds() == test.bounds()
        True

        Three weight decays in one program, a curve for each:

        >>> def with_decay(weight_decay):
        ...     optimizer = lambda rate: optax.adamw(rate, weight_decay=weight_decay)
        ...     return lr_range_test(loss_fn, jnp.ones(3), batches, optimizer=optimizer)
        >>> jax.vmap(with_decay)(jnp.array([0.0, 0.1, 1.0])).losses.shape
        (3, 100)

    Notes:
        There is one copy of params and state, which is donated from step to step.
        Arrays that are sharded over devices stay as they are, and the optimizer's state
        follows them. A loss_fn that raises must do so on each of the devices, as inside
        ``jax.shard_map``: where one of them raises alone, XLA waits for it forever.

        Under ``vmap`` over params, key, stacked batches, or a number in the optimizer,
        it gives a curve for each.

        A second call with the same functions and shapes compiles nothing, whatever the
        bounds. So loss_fn and optimizer must be pure, and a lambda that is written anew
        is compiled anew. For that the last eight are kept, with what they close over.

    References:
        Smith, 2015, https://arxiv.org/abs/1506.01186, section 3.3.
    """
    lrs = rates(_NAME, min_lr, max_lr, num_steps, spacing)
    limit = factor(_NAME, stop_factor, lrs.dtype)
    keys, several = keys_of(_NAME, key)
    accumulate = whole(_NAME, "accumulate", accumulate, 1, MOST_BATCHES // lrs.size)
    length = lrs.size * accumulate
    batches = source(_NAME, batches, length)
    step, carries, mesh = begun(
        _NAME,
        loss_fn,
        [parameters(_NAME, params, one) for one in keys],
        state,
        batches,
        optimizer,
        accumulate,
        lrs.dtype,
        has_aux,
    )
    given = [on_mesh(mesh, Given(lrs, limit, one)) for one in keys]

    runs = iterate(_NAME, step, list(zip(carries, given, strict=True)), batches, length)
    del carries  # they were donated
    check_enough(_NAME, batches, length, runs)
    raised = tuple(raised_at(_NAME, run.failure, lrs, accumulate) for run in runs)
    least = POINTS * accumulate
    few = [run.failure for run in runs if run.failure and run.failure.step < least]
    if len(few) == len(runs):
        raise few[0].error

    with jax.debug_nans(False), jax.debug_infs(False):
        curves = [_measured(run.results, accumulate) for run in runs]
        if not several:
            losses, smoothed, count, aux = curves[0]
            return RangeTest(lrs, losses, smoothed, count, aux, raised[0])
        losses, smoothed, count, aux = jax.tree.map(lambda *a: jnp.stack(a), *curves)
        errors = raised if any(raised) else None
        return RangeTest(lrs, losses, smoothed, count, aux, errors)


def check_enough(
    function: str, batches: Stream | PyTree, length: int, runs: list[Run]
) -> None:
    """Raises ValueError if an iterable was used up before all runs had an end."""
    short = isinstance(batches, Stream) and batches.taken < length
    if short and not all(run.stopped or run.failure for run in runs):
        if not batches.taken:
            raise ValueError(f"{function} needs batches, got none.")
        raise ValueError(
            f"{function} needs {length} batches (num_steps times accumulate), got "
            f"{batches.taken}, only what can start again, as a list, may be shorter."
        )


def begun(
    function: str,
    loss_fn: LossFn,
    params: list[PyTree],
    state: PyTree,
    batches: Stream | PyTree,
    optimizer: Optimizer,
    accumulate: int,
    dtype: np.dtype[Any],
    has_aux: bool,
) -> tuple[TrainingStep, list[Carry], Devices]:
    """Returns the step of runs from each of the params, their carries and the mesh."""
    check_function(function, "loss_fn", loss_fn, "of params and batch")
    check_function(
        function,
        "optimizer",
        optimizer,
        "of a schedule, optax.sgd and not optax.sgd(0.1)",
    )
    stream = isinstance(batches, Stream)
    training = Training(
        function,
        loss_fn,
        optimizer,
        accumulate,
        dtype,
        stateful=state is not None,
        has_aux=bool(has_aux),
        stacked=not stream,
    )
    state = arrays(function, "state", state)
    mesh = mesh_of((params, state, batches.first() if stream else batches))
    carries = [made_on_mesh(mesh, training, each, state) for each in params]
    return TrainingStep(training), carries, mesh


@functools.partial(jax.jit, static_argnums=1)
def _measured(
    points: Point, accumulate: int
) -> tuple[jax.Array, jax.Array, jax.Array, PyTree]:
    """Returns losses, smoothed, num_finite and aux, with NaN or zero after the stop."""
    last = slice(accumulate - 1, None, accumulate)
    losses, reached = points.loss[last], points.reached[last]

    def blank(a: jax.Array) -> jax.Array:
        if jnp.issubdtype(a.dtype, jax.dtypes.prng_key):
            words, kind = blank(jax.random.key_data(a)), jax.random.key_impl(a)
            keys: jax.Array = jax.random.wrap_key_data(words, impl=kind)
            return keys
        nothing = jnp.nan if jnp.issubdtype(a.dtype, jnp.inexact) else 0
        where = reached.reshape(-1, *(1,) * (a.ndim - 1))
        return jnp.where(where, a, jnp.asarray(nothing, a.dtype))

    aux = points.aux
    if accumulate > 1:
        aux = jax.tree.map(lambda a: a.reshape(-1, accumulate, *a.shape[1:]), aux)
    aux = jax.tree.map(blank, aux)
    return blank(losses), blank(running_means(losses)), reached.sum(), aux

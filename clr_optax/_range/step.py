"""One training step at a rate of its own: what it starts from, carries and tells."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from clr_optax._range.loss import loss_state_aux, same_state
from clr_optax._range.optimizer import first_state, transformation, update
from clr_optax._range.stop import Stop
from clr_optax._types import Batch, LossFn, Optimizer, PyTree

Evaluate = Callable[[PyTree], tuple[jax.Array, tuple[PyTree, PyTree]]]


class Carry(NamedTuple):
    """What a step hands to the next: arrays that nobody else holds.

    Attributes:
        params: what is trained.
        opt_state: the optimizer's state.
        state: what the loss hands on, or None.
        stop: what the stop rule remembers.
        sums: the mean loss and gradient so far, if several batches make a step.
    """

    params: PyTree
    opt_state: PyTree
    state: PyTree
    stop: Stop
    sums: PyTree


class Given(NamedTuple):
    """What every step is given: all rates, the factor of the stop rule, and a key."""

    lrs: jax.Array
    factor: jax.Array | None
    key: jax.Array | None


class Point(NamedTuple):
    """What a step tells: a point of the curve where reached, else only its aux."""

    loss: jax.Array
    reached: jax.Array
    aux: PyTree


@dataclasses.dataclass(frozen=True)
class Training:
    """What is trained, and how; equal for equal fields. Called, it gives the start.

    Attributes:
        function: the public function, for what is refused.
        loss_fn: the caller's.
        optimizer: the caller's.
        accumulate: how many batches make a step.
        dtype: the dtype of rates and losses.
        stateful: whether loss_fn has a state to hand on.
        has_aux: whether loss_fn returns an aux.
        stacked: whether a step is given all batches, and picks its own.
    """

    function: str
    loss_fn: LossFn
    optimizer: Optimizer
    accumulate: int
    dtype: np.dtype[Any]
    stateful: bool
    has_aux: bool
    stacked: bool

    def __call__(self, params: PyTree, state: PyTree) -> Carry:
        """Returns the carry before the first batch, with copies of what is given."""
        params, state = jax.tree.map(jnp.copy, (params, state))
        zero = jnp.zeros((), self.dtype)
        made = transformation(self.function, self.optimizer, lambda count: zero)
        opt_state = _copied(first_state(self.function, made, params))
        sums = None
        if self.accumulate > 1:
            sums = zero, jax.tree.map(_zeros_for_a_sum, _trained(params))
        return Carry(params, opt_state, state, Stop.start(self.dtype), sums)


@dataclasses.dataclass(frozen=True)
class TrainingStep:
    """One batch of a training; equal for equal ones, and so compiled once for them."""

    training: Training

    def __call__(
        self, i: jax.Array, carry: Carry, given: Given, batch: Batch
    ) -> tuple[Carry, Point, jax.Array]:
        """Returns the carry after batch i, what is told of it, and whether to stop."""
        if self.training.stacked:
            batch = jax.tree.map(lambda a: a[i % a.shape[0]], batch)
        before = carry.state

        def evaluate(params: PyTree) -> tuple[jax.Array, tuple[PyTree, PyTree]]:
            return self.evaluate(i, params, before, given, batch)

        params = _trained(carry.params)
        (loss, (state, aux)), grads = jax.value_and_grad(evaluate, has_aux=True)(params)
        loss = loss.astype(given.lrs.dtype)
        carry = carry._replace(state=state)
        make = self.update if self.training.accumulate == 1 else self.accumulate
        carry, point = make(i, carry, given, evaluate, loss, grads)
        return carry, point._replace(aux=aux), carry.stop.stopped

    def evaluate(
        self, i: jax.Array, params: PyTree, state: PyTree, given: Given, batch: Batch
    ) -> tuple[jax.Array, tuple[PyTree, PyTree]]:
        """Returns (loss, (state, aux)) of batch i, None where there is no such part."""
        training, arguments = self.training, {"params": params}
        if training.stateful:
            arguments["state"] = state
        arguments["batch"] = batch
        if given.key is not None:
            arguments["key"] = jax.random.fold_in(given.key, i)
        try:
            result = training.loss_fn(*arguments.values())
        except TypeError as error:
            called = f"{training.function} called loss_fn({', '.join(arguments)})"
            error.add_note(called)
            raise
        loss, new, aux = loss_state_aux(
            training.function, result, training.stateful, training.has_aux
        )
        if training.stateful:
            new = same_state(training.function, new, state)
        return loss, (new, aux)

    def accumulate(
        self,
        i: jax.Array,
        carry: Carry,
        given: Given,
        evaluate: Evaluate,
        loss: jax.Array,
        grads: PyTree,
    ) -> tuple[Carry, Point]:
        """Returns what update does, after the last of several batches alone."""
        several = self.training.accumulate
        no = jnp.zeros_like(carry.stop.stopped)
        sums = jax.tree.map(
            lambda total, x: total + x.astype(total.dtype) / several,
            carry.sums,
            (loss, grads),
        )

        def last(carry: Carry) -> tuple[Carry, Point]:
            loss, sums = carry.sums
            mean = jax.tree.map(lambda total, g: total.astype(g.dtype), sums, grads)
            carry = carry._replace(sums=jax.tree.map(jnp.zeros_like, carry.sums))
            return self.update(i // several, carry, given, evaluate, loss, mean)

        done: tuple[Carry, Point] = jax.lax.cond(
            i % several == several - 1,
            last,
            lambda carry: (carry, Point(loss, no, None)),
            carry._replace(sums=sums),
        )
        return done

    def update(
        self,
        i: jax.Array,
        carry: Carry,
        given: Given,
        evaluate: Evaluate,
        loss: jax.Array,
        grads: PyTree,
    ) -> tuple[Carry, Point]:
        """Returns the carry after update i, and a point of the curve.

        Where the test stops, the rate is 0: what follows stays finite.
        """
        stop = carry.stop.after(i, given.lrs.size, loss, given.factor)
        reached = ~carry.stop.stopped & jnp.isfinite(loss)
        lr = given.lrs[i]
        params, opt_state = update(
            self.training.function,
            self.training.optimizer,
            jnp.where(stop.stopped, jnp.zeros_like(lr), lr),
            grads,
            carry.opt_state,
            carry.params,
            value=loss,
            grad=grads,
            value_fn=lambda params: evaluate(params)[0],
            grad_fn=lambda params, _: jax.grad(lambda p: evaluate(p)[0])(params),
        )
        carry = carry._replace(params=params, opt_state=opt_state, stop=stop)
        return carry, Point(loss, reached, None)


def _trained(params: PyTree) -> PyTree:
    """Returns the part of the params that a loss is a function of."""
    return params.fast if isinstance(params, optax.LookaheadParams) else params


def _copied(tree: PyTree) -> PyTree:
    """Returns a copy of each array, one after another, as there may be no room for all.

    An optimizer's state may hold the params, one array twice, or what the caller holds.
    """
    leaves, form = jax.tree.flatten(tree)
    del tree
    leaves.reverse()
    copies = []
    while leaves:
        copies.append(jnp.copy(leaves.pop()))
    return jax.tree.unflatten(form, copies)


def _zeros_for_a_sum(leaf: jax.Array) -> jax.Array:
    """Returns zeros of the shape of a gradient, in float32 or wider."""
    return jnp.zeros_like(leaf, jnp.promote_types(leaf.dtype, jnp.float32))

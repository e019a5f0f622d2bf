"""One training step at a rate of its own, and what it carries to the next."""

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from clr_optax._range.loss import check_loss, check_state
from clr_optax._range.optimizer import check_asked, noting
from clr_optax._range.points import Point
from clr_optax._range.start import Carry, Start, trained


class Given(NamedTuple):
    """What every step is given."""

    lrs: jax.Array
    factor: Any
    key: jax.Array | None


@dataclasses.dataclass(frozen=True)
class TrainingStep:
    """One batch of training; equal for equal fields, and so compiled once for them.

    Attributes:
        loss_fn: the caller's.
        start: what the training starts from, and what optimizes.
        stateful: whether loss_fn has a state to hand on.
        has_aux: whether loss_fn returns an aux.
        stacked: whether a step is given all batches, and picks its own.
    """

    loss_fn: Callable[..., Any]
    start: Start
    stateful: bool
    has_aux: bool
    stacked: bool

    def __call__(
        self, i: jax.Array, carry: Carry, given: Given, batch: Any
    ) -> tuple[Carry, Point, jax.Array]:
        """Returns the carry after batch i, what is told of it, and whether to stop."""
        if self.stacked:
            batch = jax.tree.map(lambda a: a[i % a.shape[0]], batch)
        key = () if given.key is None else (jax.random.fold_in(given.key, i),)

        before = carry.state

        def evaluate(params: Any) -> tuple[jax.Array, tuple[Any, Any]]:
            return self.evaluate(params, before, batch, *key)

        params = trained(carry.params)
        (loss, (state, aux)), grads = jax.value_and_grad(evaluate, has_aux=True)(params)
        loss = loss.astype(given.lrs.dtype)
        carry = carry._replace(state=state)
        several = self.start.accumulate
        if several == 1:
            carry, point = self.update(i, carry, given, loss, grads, evaluate)
        else:
            no = jnp.zeros_like(carry.stop.stopped)
            sums = jax.tree.map(
                lambda total, x: total + x.astype(total.dtype) / several,
                carry.sums,
                (loss, grads),
            )
            carry, point = jax.lax.cond(
                i % several == several - 1,
                lambda carry: self.last(i // several, carry, given, grads, evaluate),
                lambda carry: (carry, Point(loss, no, None)),
                carry._replace(sums=sums),
            )
        return carry, point._replace(aux=aux), carry.stop.stopped

    def evaluate(
        self, params: Any, state: Any, batch: Any, *key: jax.Array
    ) -> tuple[jax.Array, tuple[Any, Any]]:
        """Returns (loss, (state, aux)), whatever of it loss_fn is asked for."""
        given = {"params": params}
        if self.stateful:
            given["state"] = state
        given["batch"] = batch
        if key:
            (given["key"],) = key
        try:
            result = self.loss_fn(*given.values())
        except TypeError as error:
            error.add_note(f"lr_range_test called loss_fn({', '.join(given)})")
            raise
        loss, new, aux = check_loss(result, self.stateful, self.has_aux)
        return loss, (check_state(new, state) if self.stateful else None, aux)

    def last(
        self, i: jax.Array, carry: Carry, given: Given, grads: Any, evaluate: Any
    ) -> tuple[Carry, Point]:
        """Returns what update returns, after the last of several batches."""
        loss, sums = carry.sums
        grads = jax.tree.map(lambda total, g: total.astype(g.dtype), sums, grads)
        carry = carry._replace(sums=jax.tree.map(jnp.zeros_like, carry.sums))
        return self.update(i, carry, given, loss, grads, evaluate)

    def update(
        self,
        i: jax.Array,
        carry: Carry,
        given: Given,
        loss: jax.Array,
        grads: Any,
        evaluate: Any,
    ) -> tuple[Carry, Point]:
        """Returns the carry after update i, and a point of the curve.

        Where the test stops, the rate is 0: what follows stays finite.
        """
        stop = carry.stop.after(i, given.lrs.size, loss, given.factor)
        reached = ~carry.stop.stopped & jnp.isfinite(loss)
        lr = given.lrs[i]
        rate = jnp.where(stop.stopped, jnp.zeros_like(lr), lr)
        asked = []

        def schedule(count: Any) -> jax.Array:
            asked.append(count)
            return rate

        transformation: Any = self.start.optimizer(schedule)
        extra = _accepted(
            transformation,
            value=loss,
            grad=grads,
            value_fn=lambda params: evaluate(params)[0],
            grad_fn=lambda params, _: jax.grad(lambda p: evaluate(p)[0])(params),
        )
        with noting(f"update(grads, state, params{''.join(f', {x}=' for x in extra)})"):
            updates, opt_state = transformation.update(
                grads, carry.opt_state, carry.params, **extra
            )
        check_asked(asked)
        params = optax.apply_updates(carry.params, updates)
        carry = carry._replace(params=params, opt_state=opt_state, stop=stop)
        return carry, Point(loss, reached, None)


def _accepted(transformation: Any, **extra: Any) -> dict[str, Any]:
    """Returns those of Optax's extra arguments that an optimizer's update takes."""
    if not isinstance(transformation, optax.GradientTransformationExtraArgs):
        return {}
    parameters = inspect.signature(transformation.update).parameters
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return extra
    return {name: extra[name] for name in extra if name in parameters}

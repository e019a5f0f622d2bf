"""Short cycles at a few peaks: the best peak is measured, not read from a curve."""

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from clr_core import clr
from clr_optax._core import short_repr
from clr_optax._range.args import (
    MOST_BATCHES,
    MOST_STEPS,
    arrays,
    keys_of,
    parameters,
    whole,
)
from clr_optax._range.batches import (
    Stream,
    first,
    is_array,
    iterates,
    leaves_of,
    source,
)
from clr_optax._range.curve import RangeTest
from clr_optax._range.loop import iterate
from clr_optax._range.mesh import on_mesh
from clr_optax._range.peaks import RATIO, Sweep
from clr_optax._range.raised import Raised, failure_of, raised_at
from clr_optax._range.readings import Numbers, ReadCurve, bounds, read_curves
from clr_optax._range.run import begun, check_enough, lr_range_test
from clr_optax._range.step import Carry, Given, Score
from clr_optax._types import Batch, Batches, LossFn, Optimizer, PyTree

_NAME = "lr_sweep"
FACTOR = 2  # from peak to peak
AROUND = np.array([0.25, 0.5, 1, 2, 4])  # what is first tried, of the test's max_lr
MOST = 7  # peaks, with those by which the grid goes on
APART = 8  # from peak to peak of the coarse grid
_TEST = 100  # steps of the range test that is made
_AT_ONCE = 8  # peaks that are trained side by side, at most


def lr_sweep(
    loss_fn: LossFn,
    params: PyTree,
    batches: Batches,
    *,
    state: PyTree = None,
    held_out: Batch | list[Batch] = None,
    test: RangeTest | None = None,
    num_steps: int | np.integer[Any] = 200,
    optimizer: Optimizer = optax.sgd,
    accumulate: int | np.integer[Any] = 1,
    key: jax.Array | None = None,
    has_aux: bool = False,
    at_once: int | np.integer[Any] | None = None,
) -> Sweep:
    """Returns the losses after short cycles at a few peaks: max_lr as a measurement.

    A range test takes 100 steps and reads; a sweep takes some 1,100 to 1,500, and
    measures. Each peak gets one triangular cycle from a tenth of it and back, all from
    the same params on the same batches. Nothing that is given is changed.

    >>> import jax.numpy as jnp
    >>> from clr_optax import clr_schedule, lr_sweep
    >>> def loss_fn(params, batch):
    ...     return jnp.sum((params - batch) ** 2)  # diverges above a rate of 1
    >>> batches = jnp.zeros((1, 3))  # stacked: one batch of three numbers
    >>> sweep = lr_sweep(loss_fn, jnp.ones(3), batches, num_steps=20)
    >>> 0.1 < sweep.bounds()[1] < 1
    True
    >>> schedule = clr_schedule(*sweep.bounds(), step_size=2000)

    The peaks are five around the max_lr of a range test, each twice the one before.
    Where the best of them is the first or the last, the grid goes on there, by two
    peaks at most. Where the test cannot be read, as on a plateau, cycles of half the
    length, at peaks over all of its range that are 8 times apart, tell where three
    peaks are tried, and no more.

    Args:
        loss_fn, params, batches, state, optimizer, accumulate, has_aux: as in
            ``lr_range_test``. The batches are begun anew for the test and for each
            round of peaks; of what cannot begin again, such as a generator, the next
            ones are taken.
        held_out: a batch, or a list of a few, whose mean loss after a cycle counts,
            each made as those of training are. It is what loss_fn says in training, of
            a state that is not handed on. Default None: the mean of the last tenth of
            the cycle's own losses counts.
        test: a ``RangeTest`` to start from; default None: one of 100 steps is made.
        num_steps: the steps of a cycle, 20 to 1,000,000; default 200. In 100 the regret
            about doubles.
        key: a random key, as in ``lr_range_test``; the same for every cycle.
        at_once: how many peaks are trained side by side; default None: up to eight.

    Returns:
        A ``Sweep``.

    Raises:
        TypeError: as ``lr_range_test``; test is no ``RangeTest``; called under ``jit``
            or ``vmap``, where the losses are not known.
        ValueError: as ``lr_range_test``; no cycle ends with a finite loss, in place of
            which comes what loss_fn raised, if it did.

    Examples:
        From a range test that was made before, scored on a batch that is held out:

        >>> from clr_optax import lr_range_test
        >>> test = lr_range_test(loss_fn, jnp.ones(3), batches, min_lr=1e-4)
        >>> short = {"test": test, "held_out": jnp.zeros(3), "num_steps": 20}
        >>> sweep = lr_sweep(loss_fn, jnp.ones(3), batches, **short)
        >>> base_lr, max_lr = sweep.bounds()
        >>> 0 < base_lr < max_lr < 1
        True

    Notes:
        As many copies of params, state and optimizer's state are in memory as peaks are
        trained at once, up to eight: ``at_once=1`` needs one, and reads the batches
        once for each peak. A cycle that diverges, or in which loss_fn raises, is a
        point at infinity, and ends no other.

    References:
        Smith, 2018, https://arxiv.org/abs/1803.09820, on short runs as a measure.
    """
    given = params, state, batches, held_out, key
    if any(isinstance(leaf, jax.core.Tracer) for leaf in leaves_of(given)):
        raise TypeError(
            f"{_NAME} needs values that are known, to choose peaks by losses, "
            "under jit and vmap there is lr_range_test."
        )
    if not isinstance(test, RangeTest | None):
        raise TypeError(
            f"{_NAME} needs test to be a RangeTest, got test={short_repr(test)}, "
            "RangeTest(lrs, losses) holds any curve."
        )
    num_steps = whole(_NAME, "num_steps", num_steps, 20, MOST_STEPS)
    at_once = _AT_ONCE if at_once is None else at_once
    at_once = whole(_NAME, "at_once", at_once, 1, MOST_STEPS)
    keys, several = keys_of(_NAME, key)
    if several:
        raise TypeError(f"{_NAME} needs one random key, got {len(keys)}.")
    longest = max(_TEST, num_steps)
    accumulate = whole(_NAME, "accumulate", accumulate, 1, MOST_BATCHES // longest)
    training = _Training(
        loss_fn,
        parameters(_NAME, params, keys[0]),
        batches,
        state,
        _as_arrays(held_out),
        optimizer,
        accumulate,
        longest * accumulate,
        keys[0],
        has_aux,
        at_once,
    )
    made = 0
    if test is None:
        test = training.range_test()
        made = np.size(test.lrs)
    curves = read_curves(_NAME, test.lrs, test.losses)
    try:
        peaks, most = bounds(_NAME, curves)[1] * AROUND, MOST
    except ValueError:
        coarse = _coarse(curves)
        losses = training.cycles(coarse, num_steps // 2).losses
        made += coarse.size * (num_steps // 2)
        peaks, most = coarse[losses.argmin()] * AROUND[1:-1], 3
    losses, starts, failures = training.cycles(peaks, num_steps)
    while peaks.size < most:
        step = {0: 1 / FACTOR, peaks.size - 1: FACTOR}.get(int(losses.argmin()))
        if step is None:
            break
        more = np.array([peaks[losses.argmin()] * step])
        found = training.cycles(more, num_steps)
        failures += found.failures
        peaks = np.append(peaks, more)
        order = peaks.argsort()
        peaks = peaks[order]
        losses = np.append(losses, found.losses)[order]
        starts = np.append(starts, found.starts)[order]
    raised, error = min(
        failures, key=lambda failure: failure[0].lr, default=(None, None)
    )
    if not np.isfinite(losses).any():
        if error is not None:
            raise error
        hint = "test smaller rates, or look for a batch whose loss is never finite"
        if not np.isfinite(starts).any():
            hint = "nor is it at the start, look at params and at the batches"
        raise ValueError(
            f"{_NAME} needs a cycle that ends with a finite loss, got none at peaks "
            f"from {peaks[0]:.3g} to {peaks[-1]:.3g}, {hint}."
        )
    finite = starts[np.isfinite(starts)]
    start = float(finite[0]) if finite.size else np.inf
    return Sweep(peaks, losses, start, made + peaks.size * num_steps, raised)


class _Ends(NamedTuple):
    """The loss at the end of each cycle and at its start, and what was raised."""

    losses: Numbers
    starts: Numbers
    failures: list[tuple[Raised, Exception]]


class _Training(NamedTuple):
    """What all cycles have in common: the arguments of lr_sweep, checked."""

    loss_fn: LossFn
    params: PyTree
    batches: Batches
    state: PyTree
    held_out: Batch | list[Batch]
    optimizer: Optimizer
    accumulate: int
    most: int  # batches that a round takes
    key: jax.Array | None
    has_aux: bool
    at_once: int

    def range_test(self) -> RangeTest:
        """Returns the range test of the same training."""
        return lr_range_test(
            self.loss_fn,
            self.params,
            first(_NAME, self.batches, _TEST * self.accumulate, self.most),
            state=self.state,
            num_steps=_TEST,
            optimizer=self.optimizer,
            accumulate=self.accumulate,
            key=self.key,
            has_aux=self.has_aux,
        )

    def cycles(self, peaks: Numbers, num_steps: int) -> _Ends:
        """Returns the loss at the end of a cycle to each peak, or infinity."""
        found = [
            self._round(peaks[first : first + self.at_once], num_steps)
            for first in range(0, peaks.size, self.at_once)
        ]
        losses = np.concatenate([ends.losses for ends in found])
        losses = np.where(np.isfinite(losses), losses, np.inf)
        starts = np.concatenate([ends.starts for ends in found])
        failures = [failure for ends in found for failure in ends.failures]
        return _Ends(losses, starts, failures)

    def _round(self, peaks: Numbers, num_steps: int) -> _Ends:
        """Returns what cycles does, of peaks that are trained side by side."""
        length = num_steps * self.accumulate
        batches = first(_NAME, self.batches, length, self.most)
        batches = source(_NAME, batches, length)
        dtype = jnp.result_type(float)
        step, carries, mesh = begun(
            _NAME,
            self.loss_fn,
            [self.params] * peaks.size,
            self.state,
            batches,
            self.optimizer,
            self.accumulate,
            dtype,
            self.has_aux,
        )
        lrs = [
            clr(jnp.arange(num_steps), peak / RATIO, peak, num_steps // 2).astype(dtype)
            for peak in peaks.tolist()
        ]
        given = [on_mesh(mesh, Given(each, None, self.key)) for each in lrs]
        held_out = _held_out(self.held_out, batches)
        score = partial(_mean_loss, _scorer(Score(step)), held_out)
        if held_out:
            starts = np.full(peaks.size, score(carries[0], given[0]))
        begins = list(zip(carries, given, strict=True))
        del carries  # they will be donated
        runs = iterate(_NAME, step, begins, batches, length)
        check_enough(_NAME, batches, length, runs)
        failure = runs[0].failure
        if failure and peaks.size > 1 and all(run.failure is failure for run in runs):
            # one program made all of them: some may not fail by themselves
            return self._replace(at_once=1).cycles(peaks, num_steps)
        last = slice(self.accumulate - 1, None, self.accumulate)
        curves = np.array(
            [
                np.where(run.results.reached, run.results.loss, np.inf)[last]
                for run in runs
            ]
        )
        if not held_out:
            tenth = num_steps // 10
            starts = curves[:, :tenth].mean(axis=1)
            ends = curves[:, -tenth:].mean(axis=1)
        else:
            ends = np.full(peaks.size, np.inf)
            for k, (run, each) in enumerate(zip(runs, given, strict=True)):
                if np.isfinite(curves[k, -1]):
                    try:
                        ends[k] = score(run.carry, each)
                    except Exception as error:
                        at_peak = num_steps // 2 * self.accumulate
                        runs[k] = run._replace(failure=failure_of(at_peak, error))
        failures = []
        for run, each in zip(runs, lrs, strict=True):
            raised = raised_at(_NAME, run.failure, each, self.accumulate)
            if raised and run.failure:
                failures.append((raised, run.failure.error))
        return _Ends(ends, starts, failures)


@lru_cache(maxsize=8)
def _scorer(score: Score) -> Callable[..., jax.Array]:
    """Returns a score as one function for equal steps, which is compiled once."""
    return jax.jit(score)


def _as_arrays(held_out: Batch | list[Batch]) -> Batch | list[Batch]:
    """Returns a batch or a list of some as arrays.

    Raises:
        TypeError: it is neither, such as a loader.
    """
    for leaf in leaves_of(held_out):
        if iterates(leaf) and not (is_array(leaf) or isinstance(leaf, str | bytes)):
            raise TypeError(
                f"{_NAME} needs held_out as a batch or a list of a few, got "
                f"{type(leaf).__name__}, list(itertools.islice(loader, 4)) takes four."
            )
    return arrays(_NAME, "held_out", held_out)


def _held_out(held_out: Batch | list[Batch], batches: Stream | PyTree) -> list[Batch]:
    """Returns the batches of held_out, which is one if it looks like one of training.

    Raises:
        ValueError: they do not look like one of training.
    """
    if held_out is None:
        return []
    batch = batches.first() if isinstance(batches, Stream) else batches
    form: Any = jax.tree.structure(batch)
    one = not isinstance(held_out, list) or jax.tree.structure(held_out) == form
    several = [held_out] if one else held_out
    forms = {jax.tree.structure(each) for each in several}
    if not several or (batch is not None and forms != {form}):
        got = ", ".join(map(str, forms)) or "none"
        raise ValueError(
            f"{_NAME} needs held_out as a batch of training, {form}, or a list of "
            f"such, got {got}."
        )
    if batch is None:
        return several
    axes = [leaf.ndim for leaf in jax.tree.leaves(batch)]
    if not isinstance(batches, Stream):  # they are stacked
        axes = [count - 1 for count in axes]
    for each in several:
        shapes = [leaf.shape for leaf in jax.tree.leaves(each)]
        if list(map(len, shapes)) != axes:
            raise ValueError(
                f"{_NAME} needs held_out with as many axes as a batch of training, "
                f"{axes}, got shapes {shapes}, make a list of stacked batches, as by "
                "[jax.tree.map(lambda a: a[i], held_out) for i in range(4)]."
            )
    return several


def _mean_loss(
    score: Callable[..., jax.Array], batches: list[Batch], carry: Carry, given: Given
) -> float:
    """Returns the mean of a score over batches."""
    return float(np.mean([score(carry, given, batch) for batch in batches]))


def _coarse(curves: list[ReadCurve]) -> Numbers:
    """Returns peaks over the whole range of a test that cannot be read.

    Raises:
        ValueError: its rates are not in order, and so have no range.
    """
    for curve in curves:
        if not curve.read.facts.ordered.all():
            raise ValueError(curve.read.reason(_NAME))
    lrs = np.concatenate([curve.lrs for curve in curves])
    low, high = lrs.min(), lrs.max()
    peaks: Numbers = low * APART ** np.arange(1 + np.log(high / low) // np.log(APART))
    return peaks

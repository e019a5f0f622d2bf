"""A range test's curve read as a learning rate, and as the bounds of a cycle."""

import jax

from clr_core._reading import Vector, reading
from clr_core._words import Rule, word_of


def suggest_lr(lrs: Vector, losses: Vector, rule: Rule = "valley") -> jax.Array:
    """Returns the learning rate that a rule reads from a range test's curve.

    It is for training at one rate; ``suggest_bounds`` reads the two of a cycle. Rates
    and losses may come from any trainer whose rate rose while it trained.

    ``valley``, ``steep`` and ``minimum`` move with the number of steps, as a test that
    takes its time falls at smaller rates: on one network 0.021, 0.0021 and 0.0007 were
    read at 100, 1,000 and 3,000 steps. ``smith`` corrects for it.

    - ``valley``: the middle of the longest falling subsequence between 90 % and 10 % of
      the fall. If the loss falls in two places, it may span both.
    - ``slide``: the left end of an interval of 15 % of the points, slid from the lowest
      point to the left until both of its ends slope alike. If the lowest stretch is
      longer than the interval, it stops there, at a large rate.
    - ``steep``: the rate of the steepest fall. If the points are few, the steepest pair
      of them wins.
    - ``minimum``: a tenth of the rate of the lowest loss. If the range ends before the
      loss rises, it moves with the range.
    - ``smith``: the max_lr of ``suggest_bounds``; see there.
    - ``limit``: half the rate from which the loss would grow, at most half the last
      rate. If the optimizer sizes its own steps, as Adam does, a network trains best at
      a rate far below.

    Args:
        lrs: the rates, a vector, positive and strictly increasing.
        losses: the loss at each rate, a vector of the same length. What follows the
            first that is not finite is left out; at least 10 must come before it.
        rule: one of the names above; default ``"valley"``.

    Returns:
        A float32 scalar. Where values cannot be checked, under ``jit`` and ``vmap``, it
        is NaN in place of the ValueErrors that values raise.

    Raises:
        TypeError: lrs or losses are not real numbers, or rule is not a string.
        ValueError: the shapes differ or are not vectors; lrs are not as above; there
            are fewer than 10 finite losses; the losses do not fall, or no farther than
            noise alone may take them; rule is unknown.

    Examples:
        >>> import numpy as np
        >>> lrs = 2.0 ** np.arange(-16, 4)
        >>> losses = [2.0] * 8 + [1.75, 1.5, 1.25, 1.0, 0.75, 0.5]
        >>> losses += [0.5, 1, 2, 4, 8, 16]
        >>> float(suggest_lr(lrs, losses))
        0.0078125
        >>> float(suggest_lr(lrs, losses, "steep"))
        0.015625

    Notes:
        A running median of five losses takes out spikes, a mean over a tenth of the
        points takes out noise. The curve is then measured by its fall: 1 at its start,
        0 at its lowest point. Its start is the lower quartile of the first fifth of the
        points, or of the first third of those before the lowest if they are fewer, so
        that a few high losses at first do not count. Slopes are taken in the log of the
        rate.
    """
    read = reading("suggest_lr", lrs, losses)
    rule = word_of("suggest_lr", "rule", rule, Rule)
    return read.if_sound("suggest_lr", read.rates[rule])[0]


def suggest_bounds(lrs: Vector, losses: Vector) -> tuple[jax.Array, jax.Array]:
    """Returns the (base_lr, max_lr) of a cycle, read from a range test's curve.

        max_lr  = min(lr * (n / 20) ** (2 / 3), limit)
        base_lr = max_lr / 10

    Here lr is the first rate at which all but 7 % of the fall is done, n the sum of the
    rates until there by lr, and ``limit`` the rule of ``suggest_lr``.

    Give both to ``clr_optax.clr_schedule`` with a step_size, half a cycle, of 2 to 10
    epochs. Train for three cycles or more, and stop at the end of one, where the rate
    is back at base_lr and the accuracy peaks.

    Args:
        lrs: the rates, a vector, positive and strictly increasing.
        losses: the loss at each rate, a vector of the same length, 10 or more finite.
            Those of all steps: of every tenth, n is a tenth of what it should be.

    Returns:
        Two float32 scalars, 0 < base_lr < max_lr. Where values cannot be checked, under
        ``jit`` and ``vmap``, they are NaN in place of the ValueErrors that values
        raise.

    Raises:
        TypeError, ValueError: as ``suggest_lr``.

    Examples:
        >>> import numpy as np
        >>> lrs = 2.0 ** np.arange(-16, 4)
        >>> losses = [2.0] * 8 + [1.75, 1.5, 1.25, 1.0, 0.75, 0.5]
        >>> losses += [0.5, 1, 2, 4, 8, 16]
        >>> base_lr, max_lr = suggest_bounds(lrs, losses)
        >>> round(float(max_lr), 4)
        0.0135
        >>> float(max_lr / base_lr)
        10.0

    Notes:
        The loss stops falling where the rate becomes too large to be of use. But a slow
        test, which makes many steps at rates close to each other, is done with its fall
        at a small rate, and a quick one at a large rate. n says how slow it was: how
        many steps at lr come to the same sum. In tests of 100, 300 and 1,000 steps from
        1e-6 to 10 it is 7, 19 and 63.

        On 28 cells of tasks and optimizers that nobody had seen before
        (``experiments/battery.py``) training at max_lr for 800 steps left on average
        0.9 % of the whole fall undone after a test of 100 or of 300 steps, 0.7 % of
        1,000; and the median over three seeds 0.8, 0.8 and 0.7 %. On the 100 cells by
        which the reading was chosen, some of them taken up because it fails there, 3.4,
        2.7 and 2.2 %: a longer test buys a better max_lr.

        ``limit`` is read behind the fall, from where the loss last is within a tenth
        of the fall above its lowest. Where one step multiplies the loss by g there,
        plain gradient descent on a quadratic of curvature L has (1 - lr L)**2 = g. So
        the loss grows from the rate 2 lr / (1 + sqrt(g)) = 2 / L on, and the smallest
        such rate counts. A loss that still falls at the end, or whose rise is not
        tested, gives half the last rate. Noise makes ``limit`` smaller.

        With momentum m a loss swings, which is no rise once it has come back. That
        takes some 20 / (1 - m) steps: in so many ``limit`` is about a third of the
        stable 2 (1 + m) / L, in half of them it may be a hundredth.

        It fails where not all of the fall is seen. A loss that still falls at the last
        rate may go on to fall, so that max_lr is too small; a range that begins within
        the fall leaves a part of its height out, so that max_lr is too large.

    References:
        Smith, 2015, https://arxiv.org/abs/1506.01186, section 3.3.
    """
    read = reading("suggest_bounds", lrs, losses)
    base_lr, max_lr = read.if_sound("suggest_bounds", *read.bounds)
    return base_lr, max_lr

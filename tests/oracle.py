"""The paper's formula in exact fractions, as every test's judge."""

from fractions import Fraction


def exact_scale(step, total, mode, gamma=1.0):
    """Returns s: the fraction 1 or 1/2**(cycle - 1), or gamma**step in float64."""
    if mode == "triangular2":
        return Fraction(1, 2 ** min(step // total, 1100))
    return Fraction(float(gamma) ** step) if mode == "exp_range" else Fraction(1)


def exact_rate(step, base, top, up, down=None, mode="triangular", gamma=1.0):
    """Returns the rate as a fraction; the numbers are taken as they are stored."""
    step, up, down = int(step), int(up), int(up if down is None else down)
    base, top = Fraction(float(base)), Fraction(float(top))
    place = step % (up + down)
    height = Fraction(place, up) if place <= up else Fraction(up + down - place, down)
    scale = exact_scale(step, up + down, mode, gamma)
    return base + (top - base) * height * scale

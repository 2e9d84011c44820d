"""How sure is a mean of a few runs? Student's t, for intervals of means and of paired differences.

Runs that differ only in their seed scatter by a point or two, which is more than most ideas gain. So no difference is
believed here unless its 95 % interval excludes 0.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Interval(NamedTuple):
    """A mean over n values, and the range that holds the true mean in 95 of 100 such samples."""

    mean: float
    low: float
    high: float
    n: int

    @property
    def verdict(self) -> str:
        """Of a difference: "higher", "lower", or "no verdict" if the interval contains 0."""
        return "higher" if self.low > 0 else "lower" if self.high < 0 else "no verdict"


def mean_interval(values: Sequence[float] | np.ndarray) -> Interval:
    """95 %: mean ± t s / √n, with s the standard deviation (n - 1) and t the 0.975 quantile of Student's distribution.

    For a comparison, give the differences of pairs that share a seed: what the seed does to both arms cancels. Assumes
    that the values are about normal. "Student" 1908. `ValueError` for fewer than two values.
    """
    x = np.asarray(values, dtype=np.float64)
    if len(x) < 2:
        raise ValueError(f"an interval needs at least 2 values, not {len(x)}")
    half = student_t_quantile(0.975, len(x) - 1) * float(x.std(ddof=1)) / math.sqrt(len(x))
    return Interval(float(x.mean()), float(x.mean()) - half, float(x.mean()) + half, len(x))


def wilson_interval(successes: int, n: int) -> tuple[float, float]:
    """95 % interval of a share, such as an accuracy, were n rows like these drawn anew; (NaN, NaN) if n is 0.

    With p = successes / n and z = 1.96, the normal distribution's quantile: (p + z²/2n ± z √(p (1 - p)/n + z²/4n²)) /
    (1 + z²/n). Unlike p ± z √(p (1 - p)/n) it never leaves 0 to 1 and is not of length 0 at either end. Wilson 1927.
    """
    if not n:
        return math.nan, math.nan
    p, z = successes / n, 1.96
    centre, spread = p + z**2 / (2 * n), z * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    return (centre - spread) / (1 + z**2 / n), (centre + spread) / (1 + z**2 / n)


def student_t_quantile(p: float, degrees: int) -> float:
    """The t below which Student's distribution has probability p, 0.5 <= p < 1. scipy: `stats.t.ppf(p, degrees)`.

    Solves A(t) = 2 p - 1 by bisection, A being the probability between -t and t. For whole degrees of freedom it is a
    finite sum (Abramowitz & Stegun 26.7.3-4): with a = atan(t / √degrees),

        even:  sin a (1 + cos²a 1/2 + cos⁴a (1 3)/(2 4) + ...)            up to cos^(degrees - 2)
        odd:   2/π (a + sin a cos a (1 + cos²a 2/3 + cos⁴a (2 4)/(3 5) + ...))
    """
    odd = degrees % 2

    def between(a: float) -> float:
        term, total = 1.0, 0.0
        for k in range(1 + odd, degrees, 2):
            total += term
            term *= math.cos(a) ** 2 * k / (k + 1)
        return 2 / math.pi * (a + math.sin(a) * math.cos(a) * total) if odd else math.sin(a) * total

    low, high = 0.0, math.pi / 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if between(middle) < 2 * p - 1 else (low, middle)
    return math.tan(low) * math.sqrt(degrees)

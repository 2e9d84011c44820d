"""How sure is a mean of a few runs? Intervals, two kinds of verdicts on a difference, and what more runs would give.

Runs that differ only in their seed scatter by a point or two, which is more than most ideas gain. So no difference is
believed here unless its 95 % interval excludes 0; and that there is none to speak of is believed only if the 90 %
interval (two one-sided tests at 5 %) lies within a margin that was named beforehand. "No verdict" is neither.

Runs whose test rows are drawn anew for each seed share some of them, and are not independent. `overlap` below is what
Nadeau & Bengio 2003 add to 1/n for it: for tests on a share q of the rows, q / (1 - q); 0 for independent values.
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


def mean_interval(values: Sequence[float] | np.ndarray, overlap: float = 0.0, level: float = 0.95) -> Interval:
    """95 %: mean ± t s √(1/n + overlap), s the standard deviation (n - 1), t the 0.975 quantile of Student's.

    For a comparison, give the differences of pairs that share a seed: what the seed does to both arms cancels. Assumes
    that the values are about normal. "Student" 1908; with an overlap the corrected resampled t interval of Nadeau &
    Bengio 2003, section 4.5. `ValueError` for fewer than two values. scipy: `stats.t.interval`.
    """
    mean, error, degrees = _moments(values, overlap)
    half = student_t_quantile((1 + level) / 2, degrees) * error
    return Interval(mean, mean - half, mean + half, degrees + 1)


def difference_p(values: Sequence[float] | np.ndarray, overlap: float = 0.0) -> float:
    """Were the true mean 0, how often would one be as far from it as this? NaN if a value is.

    scipy: `stats.ttest_1samp(values, 0)`.
    """
    mean, error, degrees = _moments(values, overlap)
    return _two_sided(_ratio(mean, error), degrees) if not math.isnan(mean) else math.nan


def equivalence_p(values: Sequence[float] | np.ndarray, margin: float, overlap: float = 0.0) -> float:
    """Were the true mean the margin or more away from 0, how often would one look as small as this?

    Two one-sided t tests, of which the worse counts: Schuirmann 1987. Below 0.05, "equal within the margin" holds.
    statsmodels: `ttost_paired(a, b, -margin, margin)`; scipy: `ttest_1samp(..., alternative="less")` at the worse end.
    """
    mean, error, degrees = _moments(values, overlap)
    if math.isnan(mean):
        return math.nan
    t = _ratio(margin - abs(mean), error)
    return _two_sided(t, degrees) / 2 if t > 0 else 1 - _two_sided(t, degrees) / 2


def _moments(values: Sequence[float] | np.ndarray, overlap: float) -> tuple[float, float, int]:
    """Mean, its standard error, degrees of freedom."""
    x = np.asarray(values, dtype=np.float64)
    if len(x) < 2:
        raise ValueError(f"an interval needs at least 2 values, not {len(x)}")
    return float(x.mean()), float(x.std(ddof=1)) * math.sqrt(1 / len(x) + overlap), len(x) - 1


def _ratio(mean: float, error: float) -> float:
    """A mean in units of its error; without any error, all else is infinitely far from 0."""
    return mean / error if error else math.copysign(math.inf, mean) if mean else 0.0


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
    low, high = 0.0, math.pi / 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _between(middle, degrees) < 2 * p - 1 else (low, middle)
    return math.tan(low) * math.sqrt(degrees)


def _between(a: float, degrees: int) -> float:
    """A(t) of `student_t_quantile`, t = √degrees tan a."""
    odd, term, total = degrees % 2, 1.0, 0.0
    for k in range(1 + odd, degrees, 2):
        total += term
        term *= math.cos(a) ** 2 * k / (k + 1)
    return 2 / math.pi * (a + math.sin(a) * math.cos(a) * total) if odd else math.sin(a) * total


def _two_sided(t: float, degrees: int) -> float:
    """How often Student's distribution is further from 0 than t; to about 1e-15. scipy: `2 * stats.t.sf(abs(t), n)`."""
    return max(0.0, 1 - _between(math.atan(abs(t) / math.sqrt(degrees)), degrees))

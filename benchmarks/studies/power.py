"""What a study can tell, and what more seeds would: Holm's correction, the power of a paired t test, seeds needed."""

import math
from collections.abc import Sequence

import numpy as np
from scipy import stats

POWER = 0.8  # chance of a verdict for which seeds are counted
QUANTILES = (np.arange(2000) + 0.5) / 2000  # where the power is averaged


def holm(p: Sequence[float] | np.ndarray) -> np.ndarray:
    """p values (m,) corrected for being m: of those below 0.05, not one is wrong in 95 of 100 such families.

    The smallest times m, the next times m - 1 and so on, never falling, at most 1: Holm 1979.
    statsmodels: `multipletests(p, method="holm")`.
    """
    p = np.asarray(p, np.float64)
    order, corrected = np.argsort(p, kind="stable"), np.empty(len(p))
    corrected[order] = np.minimum(1, np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)))
    return corrected


def power(effect: float, spread: float, n: int, overlap: float = 0.0, alpha: float = 0.05) -> float:
    """How often n paired differences with this true mean and standard deviation are told from 0, at level alpha.

    P(|T| > t) for T = (Z + δ) / S with the noncentral t distribution, δ = effect / (spread √(1/n + overlap)): the mean
    of P(|Z + δ| > t S) over the quantiles of S = √(χ² / (n - 1)), because scipy's `nct` is NaN far out in the tails.
    statsmodels: `TTestPower().power(effect / spread, n, alpha)`.
    """
    if not effect or not spread:
        return float(bool(effect)) if not spread else alpha
    t, shift = stats.t.ppf(1 - alpha / 2, n - 1), effect / (spread * math.sqrt(1 / n + overlap))
    s = np.sqrt(stats.chi2.ppf(QUANTILES, n - 1) / (n - 1))
    return float(np.mean(stats.norm.sf(t * s - shift) + stats.norm.cdf(-t * s - shift)))


def detectable(spread: float, n: int, overlap: float = 0.0, alpha: float = 0.05) -> float:
    """The smallest effect that n paired differences tell from 0 in 80 of 100 studies; `power` solved by bisection."""
    low, high = 0.0, 1.0  # in units of the spread
    while power(high, 1.0, n, overlap, alpha) < POWER:
        low, high = high, 2 * high
    for _ in range(20):
        middle = (low + high) / 2
        low, high = (middle, high) if power(middle, 1.0, n, overlap, alpha) < POWER else (low, middle)
    return high * spread


def seeds_needed(
    mean: float, spread: float, margin: float, overlap: float = 0.0, alpha: float = 0.05, most: int = 200
) -> int | None:
    """How many seeds would give a verdict of either kind in about 80 of 100 studies, if this mean and spread are true.

    Either 0 or the nearer end of the margin has to be told from the mean. None if even `most` seeds are too few: with
    an overlap the interval does not shrink to nothing, and only more test rows would make it narrower.
    """
    distance = max(abs(mean), margin - abs(mean))
    if not distance or detectable(spread, most, overlap, alpha) > distance:
        return None
    low, high = 2, most
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if detectable(spread, middle, overlap, alpha) <= distance else (middle + 1, high)
    return low

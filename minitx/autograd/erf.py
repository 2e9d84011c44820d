"""erf for arrays, which NumPy lacks."""

import math
from functools import cache

import numpy as np
from numpy.polynomial import chebyshev


@cache
def _fit_erf(dtype: np.dtype) -> tuple[float, np.ndarray]:
    """A limit, and coefficients of P, in powers of s = 2 z² / limit² - 1, so that erf(z) = tanh(z P) for |z| <= limit.

    NumPy has no erf, but it has a fast tanh; and atanh(erf(z)) / z is even and almost constant, so a short polynomial
    in z² describes it. It is fitted to `math.erf` at Chebyshev nodes, each weighted by what an error there does to
    erf, z (1 - erf²). Beyond the limit, erf is 1 to the precision of the dtype.
    """
    limit, degree = (4.0, 6) if dtype == np.float32 else (5.9, 28)
    nodes = np.cos(np.pi * (np.arange(400) + 0.5) / 400)
    z = limit * np.sqrt((nodes + 1) / 2)
    plus, minus = (np.array([1 + math.erf(t) for t in z]), np.array([math.erfc(t) for t in z]))  # 1 ± erf(z)
    fit = chebyshev.chebfit(nodes, 0.5 * np.log(plus / minus) / z, degree, w=z * plus * minus + 1e-9)
    return limit, chebyshev.cheb2poly(fit)


def erf(z: np.ndarray) -> np.ndarray:
    """erf(z), in z's dtype; z is used up as scratch space."""
    if z.dtype == np.float16:  # too coarse for the polynomial
        return erf(z.astype(np.float32)).astype(z.dtype)
    limit, coefficients = _fit_erf(z.dtype)
    reach = 1.03 * limit  # so far that tanh is exactly ±1: Φ(x) has to be 0 there, as x Φ(x) would show what is left
    np.clip(z, -reach, reach, out=z)
    s = np.square(z)
    s *= 2 / limit**2
    s -= 1
    p = np.full_like(z, coefficients[-1])
    for coefficient in coefficients[-2::-1]:  # Horner
        p *= s
        p += z.dtype.type(coefficient)
    p *= z
    return np.tanh(p, out=p)

"""Activations of other people's models that are gates, y = x σ(v): SiLU, and GELU as GPT-2 wrote it.

Each works in place and returns the slope at every element, or None, as those of `autograd.functional` do. Both are
fused for cost.
"""

import math
from collections.abc import Callable

import numpy as np

from minitx.autograd.habits import float_data
from minitx.autograd.tensor import Tensor, is_recorded


def silu(x: Tensor) -> Tensor:
    """y = x σ(x), σ(x) = 1 / (1 + exp(-x)). Elfwing et al. 2017.

    Torch: `functional.silu`. Plain: `learn.plain.silu`.
    """
    return elementwise(x, silu_)


def gelu_new(x: Tensor) -> Tensor:
    """y = x σ(2v), v = √(2 / π) (x + 0.044715 x³): GELU with a tanh in place of the normal distribution.

    Hendrycks & Gimpel 2016, section 2: x (1 + tanh v) / 2 is the same, but loses the tail. Torch:
    `functional.gelu(x, approximate="tanh")`. Plain: `learn.plain.gelu_new`.
    """
    return elementwise(x, gelu_new_)


def elementwise(x: Tensor, in_place: Callable[[np.ndarray, bool], np.ndarray | None]) -> Tensor:
    """y = f(x) and dx = dy f'(x), for an f that replaces x and returns its slope if that is wanted."""
    y = float_data(x).copy()
    slope = in_place(y, is_recorded((x,)))
    return Tensor.from_op(y, (x,), lambda dy: (dy * slope,))


def silu_(x: np.ndarray, want_slope: bool) -> np.ndarray | None:
    """Replace x by x σ(x)."""
    return _gate_(x, x, x.dtype.type(1), want_slope)


def gelu_new_(x: np.ndarray, want_slope: bool) -> np.ndarray | None:
    """Replace x by x σ(2v)."""
    near = np.clip(x, -100, 100)  # where σ is exactly 0 or 1 already, and a cube no problem
    c, square = math.sqrt(8 / math.pi), near * near
    return _gate_(x, c * near * (1 + 0.044715 * square), c * (1 + 3 * 0.044715 * square), want_slope)


def _gate_(x: np.ndarray, v: np.ndarray, dv: np.ndarray, want_slope: bool) -> np.ndarray | None:
    # y = x σ(v) ;  dy/dx = σ + x σ (1 - σ) dv/dx
    with np.errstate(over="ignore"):  # of exp(-v): 1 / ∞ is the 0 that it should be
        gate = 1 / (1 + np.exp(-v))
    slope = gate + x * gate * (1 - gate) * dv if want_slope else None
    x *= gate
    return slope

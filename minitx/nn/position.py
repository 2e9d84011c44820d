"""Positions: attention alone cannot tell a sentence from the same words in another order."""

import math

import numpy as np

from minitx.autograd.tensor import Tensor
from minitx.nn.module import Module, Parameter


def sinusoidal_table(max_length: int, dim: int) -> np.ndarray:
    """Positions as waves, (max_length, dim) float32, from one radian per token down to one in about 10,000 tokens.

        table[t, 2i] = sin(t / 10000^(2i / dim)) ;  table[t, 2i + 1] = cos(t / 10000^(2i / dim))

    Vaswani et al. 2017, section 3.5. Any fixed shift is a rotation of each (sin, cos) pair, so "three tokens
    back" is the same linear map everywhere. Plain: `learn.plain.sinusoidal_table`.
    """
    frequencies = 10000.0 ** (-np.arange(0, dim, 2) / dim)
    angles = np.arange(max_length)[:, None] * frequencies
    table = np.empty((max_length, dim), np.float32)
    table[:, 0::2] = np.sin(angles)
    table[:, 1::2] = np.cos(angles)[:, : dim // 2]
    return table


class SinusoidalPosition(Module):
    """√D x + the fixed table; embeddings x that start with variance 1 / D are then as large as the waves.

    Vaswani et al. 2017, section 3.4. The factor also makes an optimizer's step on x count √D times as much in the sum;
    without it, a few thousand texts hardly change a random embedding. The table is not learned, and it is not in the
    state_dict, since it can be recomputed.
    """

    def __init__(self, max_length: int, dim: int) -> None:
        self.table = sinusoidal_table(max_length, dim)
        self.scale = math.sqrt(dim)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, T, D) -> √D x + positions 0 to T - 1."""
        return x * self.scale + Tensor(self.table[: x.shape[1]].astype(x.dtype, copy=False))


class LearnedPosition(Module):
    """One learned vector for each position, as in BERT."""

    def __init__(self, max_length: int, dim: int, *, rng: np.random.Generator) -> None:
        self.weight = Parameter(rng.normal(0, 0.02, (max_length, dim)).astype(np.float32))

    def forward(self, x: Tensor) -> Tensor:
        """x (B, T, D) + positions 0 to T - 1."""
        return x + self.weight[: x.shape[1]]

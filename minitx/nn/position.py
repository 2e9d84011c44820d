"""Positions: attention alone cannot tell a sentence from the same words in another order."""

import math

import numpy as np

from minitx.autograd import functional as F
from minitx.autograd.tensor import Tensor
from minitx.nn.module import Module, Parameter


def sinusoidal_table(max_length: int, dim: int) -> np.ndarray:
    """Positions as waves, (max_length, dim) float32, from one radian per token down to one in about 10,000 tokens.

        table[t, 2i] = sin(t / 10000^(2i / dim)) ;  table[t, 2i + 1] = cos(t / 10000^(2i / dim))

    Vaswani et al. 2017, section 3.5. Any fixed shift is a rotation of each (sin, cos) pair, so "three tokens
    back" is the same linear map everywhere.
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


def relative_buckets(length: int, num_buckets: int, max_distance: int = 128) -> np.ndarray:
    """The bucket of the distance from token i to token j, at row i and column j: (length, length) integers.

    Half of the buckets are for j before or at i, the other half for j after i. In each half, the first E buckets hold
    one distance each (0, 1, 2, ...) and the others ever wider ranges; all distances beyond `max_distance` share the
    last bucket:

        bucket(d) = d                                                            if d < E
                  = E + floor(log(d / E) / log(max_distance / E) E), at most 2E - 1,  otherwise;  E = num_buckets / 4

    Raffel et al. 2020, "T5", section 2.1. Computed in float32, so that the buckets begin and end where torch's do.
    """
    steps = np.arange(length)[None, :] - np.arange(length)[:, None]
    distance, half = np.abs(steps), num_buckets // 2
    exact = half // 2
    ratio = np.log(np.maximum(distance, exact).astype(np.float32) / exact) / np.float32(math.log(max_distance / exact))
    far = np.minimum(exact + (ratio * np.float32(half - exact)).astype(np.int64), half - 1)
    buckets: np.ndarray = np.where(distance < exact, distance, far) + half * (steps > 0)
    return buckets


class RelativePositionBias(Module):
    """A learned number for each head and each bucket of distances, added to attention scores.

    `weight` (num_buckets, H) starts at 0. All blocks share one table. Raffel et al. 2020, "T5", section 2.1; Song et
    al. 2020, "MPNet". transformers: `MPNetEncoder.relative_attention_bias`.
    """

    def __init__(self, num_buckets: int, num_heads: int) -> None:
        self.weight = Parameter(np.zeros((num_buckets, num_heads), np.float32))

    def forward(self, length: int) -> Tensor:
        """T -> (H, T, T): head, token that attends, token that is attended to."""
        return F.embedding(relative_buckets(length, len(self.weight)), self.weight).permute(2, 0, 1)

"""Where a token stands: attention by itself cannot tell a sentence from its words in another order."""

import math

import numpy as np

from minitx.autograd import functional as F
from minitx.autograd.tensor import Tensor
from minitx.nn.module import Module, Parameter


def sinusoidal_table(max_length: int, dim: int) -> np.ndarray:
    """Positions as waves, (max_length, dim) float32: from 1 radian a token for the fastest to about 1/10,000.

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

    Vaswani et al. 2017, section 3.4. The factor also makes each step of the optimizer move the sum √D times as far;
    without it, a few thousand texts teach a random embedding little. The table is not learned, and not in the
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
    """The bucket that the distance from token i to token j falls into: (length, length) integers, row i, column j.

    Half of the buckets are for j before or at i, half for j after it. Within each half, the first half of the buckets
    hold one distance each (0, 1, 2, ...); the others hold wider and wider ranges, and the last one also everything
    from `max_distance` on:

        bucket(d) = d                                                            if d < E
                  = E + floor(log(d / E) / log(max_distance / E) E), at most 2E - 1,  otherwise;  E = num_buckets / 4

    Raffel et al. 2020, "T5", section 2.1. Computed in float32, so that the edges fall as torch's do. Plain:
    `learn.plain.relative_buckets`.
    """
    steps = np.arange(length)[None, :] - np.arange(length)[:, None]
    distance, half = np.abs(steps), num_buckets // 2
    exact = half // 2
    ratio = np.log(np.maximum(distance, exact).astype(np.float32) / exact) / np.float32(math.log(max_distance / exact))
    far = np.minimum(exact + (ratio * np.float32(half - exact)).astype(np.int64), half - 1)
    return np.where(distance < exact, distance, far) + half * (steps > 0)


class RelativePositionBias(Module):
    """A learned number for each head and each bucket of distances, added to attention scores.

    `weight` (num_buckets, H) starts at 0. One table serves all blocks. Raffel et al. 2020, "T5", section 2.1; Song et
    al. 2020, "MPNet". transformers: `MPNetEncoder.relative_attention_bias`. Plain:
    `learn.plain.relative_position_bias`.
    """

    def __init__(self, num_buckets: int, num_heads: int) -> None:
        self.weight = Parameter(np.zeros((num_buckets, num_heads), np.float32))

    def forward(self, length: int) -> Tensor:
        """T -> (H, T, T): head, asking token, asked token."""
        return F.embedding(relative_buckets(length, len(self.weight)), self.weight).permute(2, 0, 1)

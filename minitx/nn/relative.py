"""How far is one token from another? A bias on attention scores, as MPNet and T5 have it."""

import math

import numpy as np

from minitx.autograd import functional as F
from minitx.autograd.tensor import Tensor
from minitx.nn.module import Module, Parameter


def relative_buckets(length: int, num_buckets: int, max_distance: int = 128) -> np.ndarray:
    """The bucket of the distance from token i to token j, at row i and column j: (length, length) integers.

    Half of the buckets are for j before or at i, the other half for j after i. In each half, the first E buckets hold
    one distance each (0, 1, 2, ...) and the others ever wider ranges; all distances beyond `max_distance` share the
    last bucket:

        bucket(d) = d                                                            if d < E
                  = E + floor(log(d / E) / log(max_distance / E) E), at most 2E - 1,  otherwise;  E = num_buckets / 4

    Raffel et al. 2020, "T5", section 2.1. Computed in float32, so that the buckets begin and end where torch's do.
    Plain: `learn.plain.relative_buckets`.
    """
    steps = np.arange(length)[None, :] - np.arange(length)[:, None]
    distance, half = np.abs(steps), num_buckets // 2
    exact = half // 2
    ratio = np.log(np.maximum(distance, exact).astype(np.float32) / exact) / np.float32(math.log(max_distance / exact))
    far = np.minimum(exact + (ratio * np.float32(half - exact)).astype(np.int64), half - 1)
    return np.where(distance < exact, distance, far) + half * (steps > 0)


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

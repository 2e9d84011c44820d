# piece: attention
# verdict: right
# style: composed of Tensor ops, a large negative number added to padding, empty samples zeroed at the end

import math

import numpy as np
from minitx import Tensor


def attention(q: Tensor, k: Tensor, v: Tensor, attention_mask: np.ndarray) -> Tensor:
    mask = np.asarray(attention_mask, dtype=bool)
    bias = np.where(mask, 0.0, -1e9)[:, None, :].astype(q.dtype)
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1]) + Tensor(bias)
    e = (scores - scores.max(dim=-1, keepdim=True)).exp()
    p = e / e.sum(dim=-1, keepdim=True)
    some = mask.any(axis=1)[:, None, None].astype(q.dtype)
    return (p @ v) * Tensor(some)

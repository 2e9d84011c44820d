# piece: attention
# verdict: wrong
# mistake: k is brought to (B, K, T) with reshape, which mixes its numbers, instead of transpose
# style: composed of Tensor ops

import numpy as np
from minitx import Tensor


def attention(q, k, v, attention_mask):
    B, T, K = k.shape
    k_t = k.reshape(B, K, T)
    scores = q @ k_t / K**0.5
    scores = scores + Tensor(np.where(attention_mask, 0.0, -1e9).astype(q.dtype).reshape(B, 1, T))
    top = scores.max(dim=-1, keepdim=True)
    e = (scores - top).exp()
    alive = attention_mask.any(axis=1).astype(q.dtype).reshape(B, 1, 1)
    return (e / e.sum(dim=-1, keepdim=True) * alive) @ v

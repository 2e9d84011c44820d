# piece: attention
# verdict: right
# style: where for the scores, weights multiplied by the mask, denominator kept away from zero

import numpy as np
from minitx import Tensor
from minitx.autograd.tensor import where


def attention(q, k, v, attention_mask):
    real = np.asarray(attention_mask).astype(bool)[:, None, :]
    zero = Tensor(np.zeros((), dtype=q.dtype))
    scores = (q * q.shape[-1] ** -0.5) @ k.permute(0, 2, 1)
    seen = np.where(real, scores.data, -np.inf).max(-1, keepdims=True)
    top = np.where(np.isfinite(seen), seen, 0).astype(q.dtype)
    e = where(real, scores - Tensor(top), zero - Tensor(np.full((), 1e4, dtype=q.dtype))).exp()
    e = e * real.astype(q.dtype)
    empty = (~real.any(-1, keepdims=True)).astype(q.dtype)
    return e @ v / (e.sum(dim=-1, keepdim=True) + empty)

# piece: attention
# verdict: wrong
# mistake: the softmax runs over the queries (axis 1) instead of the keys
# style: composed, own softmax with an axis argument

import numpy as np
from minitx import Tensor


def my_softmax(t, dim):
    t = (t - t.max(dim=dim, keepdim=True)).exp()
    return t / t.sum(dim=dim, keepdim=True)


def attention(q, k, v, attention_mask):
    mask = np.asarray(attention_mask, bool)
    scores = q @ k.permute(0, 2, 1) / q.shape[-1] ** 0.5
    scores = scores + Tensor(np.where(mask, 0, -1e9).astype(q.dtype)[:, None])
    p = my_softmax(scores, 1) * Tensor(mask[:, None].astype(q.dtype))
    return p @ v

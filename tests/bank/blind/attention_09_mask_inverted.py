# piece: attention
# verdict: wrong
# mistake: the mask is read the other way round, True is taken for padding
# style: composed, boolean arrays

import numpy as np
from minitx import Tensor


def attention(q, k, v, attention_mask):
    hide = attention_mask.astype(bool)
    big = np.zeros(hide.shape, dtype=q.dtype)
    big[hide] = -1e9
    scores = q @ k.transpose(1, 2) / float(np.sqrt(k.shape[-1])) + Tensor(big[:, None, :])
    w = (scores - scores.max(dim=-1, keepdim=True)).exp()
    w = w / w.sum(dim=-1, keepdim=True)
    empty = np.all(hide, axis=1)
    return (w @ v) * (~empty).astype(q.dtype)[:, None, None]

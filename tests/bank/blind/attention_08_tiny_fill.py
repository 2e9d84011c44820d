# piece: attention
# verdict: wrong
# mistake: padding is filled with 1e-9 where -1e9 was meant
# style: where with a constant tensor

import numpy as np
from minitx import Tensor
from minitx.autograd.tensor import where

FILL = 1e-9


def attention(q, k, v, attention_mask):
    keep = np.asarray(attention_mask, dtype=bool)
    fill = Tensor(np.array(FILL, dtype=q.dtype))
    s = q @ k.transpose(1, 2) / np.sqrt(q.shape[2])
    s = where(keep[:, None, :] & np.ones(s.shape, dtype=bool), s, fill)
    e = (s - s.max(dim=2, keepdim=True)).exp()
    out = (e / e.sum(dim=2, keepdim=True)) @ v
    return out * keep.any(1)[:, None, None].astype(q.dtype)

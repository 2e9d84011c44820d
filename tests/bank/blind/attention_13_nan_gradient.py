# piece: attention
# verdict: wrong
# mistake: an empty sample becomes NaN and is replaced by zeros at the end, but its gradients are still NaN
# style: minus infinity, then where on the result

import numpy as np
from minitx import Tensor
from minitx.autograd.tensor import where


def attention(q, k, v, attention_mask):
    m = np.asarray(attention_mask, bool)
    with np.errstate(all="ignore"):
        s = q @ k.transpose(1, 2) / float(np.sqrt(q.shape[-1]))
        s = s + Tensor(np.where(m, 0.0, -np.inf).astype(q.dtype)[:, None, :])
        e = (s - s.max(dim=-1, keepdim=True)).exp()
        y = (e / e.sum(dim=-1, keepdim=True)) @ v
    has = np.broadcast_to(m.any(axis=1)[:, None, None], y.shape)
    return where(has, y, Tensor(np.zeros(y.shape, dtype=q.dtype)))

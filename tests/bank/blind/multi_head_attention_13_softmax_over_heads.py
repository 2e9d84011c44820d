# piece: multi_head_attention
# verdict: wrong
# mistake: the softmax runs over axis 1, which is the heads, instead of the keys
# style: composed, softmax dim given by number

import numpy as np
from minitx import Tensor


def multi_head_attention(x, w, num_heads, attention_mask):
    def fc(t, n):
        return t @ w[n + ".weight"].T + w[n + ".bias"]

    def split(t):
        return t.reshape(t.shape[0], t.shape[1], num_heads, -1).transpose(1, 2)

    mask = np.asarray(attention_mask, bool)[:, None, None, :]
    q, k, v = (split(fc(x, n)) for n in ("query", "key", "value"))
    a = q @ k.transpose(2, 3) / q.shape[3] ** 0.5
    a = a + Tensor(np.where(mask, 0, -1e9).astype(x.dtype))
    a = (a - a.max(dim=1, keepdim=True)).exp()
    a = a / a.sum(dim=1, keepdim=True) * Tensor(mask.astype(x.dtype))
    return fc((a @ v).transpose(1, 2).reshape(*x.shape), "out")

# piece: multi_head_attention
# verdict: wrong
# mistake: the heads are joined with reshape without bringing the tokens back in front of the heads
# style: class with methods

import numpy as np
from minitx import Tensor


class Attention:
    def __init__(self, w, num_heads):
        self.w, self.h = w, num_heads

    def lin(self, name, x):
        return x @ self.w[f"{name}.weight"].T + self.w[f"{name}.bias"]

    def split(self, t):
        b, n, d = t.shape
        return t.reshape(b, n, self.h, d // self.h).transpose(1, 2)

    def __call__(self, x, mask):
        q, k, v = [self.split(self.lin(name, x)) for name in ("query", "key", "value")]
        scores = q @ k.transpose(2, 3) / np.sqrt(q.shape[-1])
        scores = scores + Tensor(np.where(mask, 0, -1e9).astype(x.dtype)[:, None, None])
        e = (scores - scores.max(dim=-1, keepdim=True)).exp()
        p = e / e.sum(dim=-1, keepdim=True) * mask.any(1).astype(x.dtype)[:, None, None, None]
        context = (p @ v).reshape(*x.shape)
        return self.lin("out", context)


def multi_head_attention(x, w, num_heads, attention_mask):
    return Attention(w, num_heads)(x, np.asarray(attention_mask, bool))

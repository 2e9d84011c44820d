# piece: multi_head_attention
# verdict: wrong
# mistake: head h takes every num_heads-th column instead of the columns h K to (h + 1) K
# style: strided slices in a loop, columns put back with an index

import numpy as np
from minitx import Tensor
from minitx.autograd.tensor import stack


def multi_head_attention(x, w, num_heads, attention_mask):
    def lin(t, n):
        return t @ w[f"{n}.weight"].T + w[f"{n}.bias"]

    q, k, v = lin(x, "query"), lin(x, "key"), lin(x, "value")
    keep = np.asarray(attention_mask, bool)
    bias = Tensor(np.where(keep, 0, -1e9).astype(x.dtype)[:, None])
    alive = Tensor(keep.any(1).astype(x.dtype)[:, None, None])
    heads = []
    for h in range(num_heads):
        qh, kh, vh = (t[:, :, h::num_heads] for t in (q, k, v))
        s = qh @ kh.transpose(1, 2) / qh.shape[-1] ** 0.5 + bias
        e = (s - s.max(dim=-1, keepdim=True)).exp()
        heads.append(e / e.sum(dim=-1, keepdim=True) @ vh * alive)
    return lin(stack(heads, dim=3).reshape(*x.shape), "out")

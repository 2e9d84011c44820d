# piece: attention
# verdict: wrong
# mistake: the backward forgets the factor 1 / sqrt(K) for q and k
# style: from_op with matmul and swapaxes

import numpy as np
from minitx import Tensor


def attention(q, k, v, attention_mask):
    mask = np.asarray(attention_mask, bool)
    s = q.data @ k.data.swapaxes(1, 2) / float(q.shape[-1]) ** 0.5
    s = np.where(mask[:, None, :], s, s.dtype.type(-1e30))
    p = np.exp(s - s.max(-1, keepdims=True)) * mask[:, None, :]
    p = p / np.maximum(p.sum(-1, keepdims=True), s.dtype.type(1e-20))

    def backward(dy):
        dv = p.swapaxes(1, 2) @ dy
        dp = dy @ v.data.swapaxes(1, 2)
        ds = p * (dp - (dp * p).sum(-1, keepdims=True))
        return ds @ k.data, ds.swapaxes(1, 2) @ q.data, dv

    return Tensor.from_op(p @ v.data, (q, k, v), backward)

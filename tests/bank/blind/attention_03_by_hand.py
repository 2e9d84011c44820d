# piece: attention
# verdict: right
# style: one from_op with the whole backward by hand, einsum

import numpy as np
from minitx import Tensor


def attention(q, k, v, attention_mask):
    Q, K, V = q.data, k.data, v.data
    scale = 1.0 / float(np.sqrt(Q.shape[-1]))
    keys = np.broadcast_to(np.asarray(attention_mask, bool)[:, None, :], (Q.shape[0], Q.shape[1], K.shape[1]))
    s = np.where(keys, np.einsum("bik,bjk->bij", Q, K) * scale, -np.inf)
    top = s.max(axis=-1, keepdims=True)
    p = np.exp(s - np.where(np.isinf(top), 0, top))
    p = (p / np.maximum(p.sum(axis=-1, keepdims=True), 1e-30)).astype(Q.dtype)

    def backward(dy):
        dp = np.einsum("bik,bjk->bij", dy, V)
        ds = p * (dp - (p * dp).sum(axis=-1, keepdims=True)) * scale
        dq = np.einsum("bij,bjk->bik", ds, K)
        dk = np.einsum("bij,bik->bjk", ds, Q)
        dv = np.einsum("bij,bik->bjk", p, dy)
        return dq, dk, dv

    return Tensor.from_op(np.einsum("bij,bjk->bik", p, V), (q, k, v), backward)

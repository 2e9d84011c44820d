# piece: attention
# verdict: wrong
# mistake: the backward through the softmax is p * dp, the part with the row sum is missing
# style: from_op with lazy functions for every parent

import numpy as np
from minitx import Tensor


def attention(q, k, v, attention_mask):
    scale = q.shape[-1] ** -0.5
    on = np.asarray(attention_mask).astype(q.dtype)[:, None, :]
    a = (q.data @ k.data.transpose(0, 2, 1)) * scale + (on - 1) * 1e9
    e = np.exp(a - a.max(axis=-1, keepdims=True)) * on
    p = e / np.where(e.sum(axis=-1, keepdims=True) == 0, 1, e.sum(axis=-1, keepdims=True))

    def backward(dy):
        dp = dy @ v.data.transpose(0, 2, 1)
        da = p * dp * scale
        return (
            lambda: da @ k.data,
            lambda: da.transpose(0, 2, 1) @ q.data,
            lambda: p.transpose(0, 2, 1) @ dy,
        )

    return Tensor.from_op(p @ v.data, (q, k, v), backward)

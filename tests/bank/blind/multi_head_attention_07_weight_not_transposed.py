# piece: multi_head_attention
# verdict: wrong
# mistake: the linear layers compute x @ weight + bias, the weight is not transposed
# style: dictionary comprehension, batched heads

import numpy as np
from minitx import Tensor


def multi_head_attention(x, w, num_heads, attention_mask):
    def lin(t, name):
        return t @ w[name + ".weight"] + w[name + ".bias"]

    B, T, D = x.shape
    K = D // num_heads
    p = {n: lin(x, n).reshape(B, T, num_heads, K).permute(0, 2, 1, 3) for n in ["query", "key", "value"]}
    scores = p["query"] @ p["key"].permute(0, 1, 3, 2) * K**-0.5
    scores = scores + Tensor(np.where(attention_mask, 0.0, -1e9).astype(x.dtype).reshape(B, 1, 1, T))
    scores = (scores - scores.max(dim=-1, keepdim=True)).exp()
    real = Tensor(attention_mask.any(axis=1).astype(x.dtype).reshape(B, 1, 1, 1))
    y = (scores / scores.sum(dim=-1, keepdim=True) * real) @ p["value"]
    return lin(y.permute(0, 2, 1, 3).reshape(B, T, D), "out")

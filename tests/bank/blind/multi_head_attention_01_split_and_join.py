# piece: multi_head_attention
# verdict: right
# style: reshape to (B, T, H, K), permute, batched matmul, join again

import numpy as np
from minitx import Tensor


def multi_head_attention(x, w, num_heads, attention_mask):
    B, T, D = x.shape
    mask = np.asarray(attention_mask, dtype=bool)

    def linear(t, name):
        return t @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    def heads(name):
        return linear(x, name).reshape(B, T, num_heads, D // num_heads).permute(0, 2, 1, 3)

    q, k, v = heads("query"), heads("key"), heads("value")
    scores = q @ k.transpose(2, 3) / (D // num_heads) ** 0.5
    scores = scores + Tensor(np.where(mask, 0, -1e9).astype(x.dtype)[:, None, None, :])
    e = (scores - scores.max(dim=-1, keepdim=True)).exp()
    p = e / e.sum(dim=-1, keepdim=True)
    y = (p @ v) * Tensor(mask.any(axis=1).astype(x.dtype).reshape(B, 1, 1, 1))
    return linear(y.permute(0, 2, 1, 3).reshape(B, T, D), "out")

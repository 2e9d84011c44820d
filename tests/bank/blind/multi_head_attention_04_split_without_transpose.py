# piece: multi_head_attention
# verdict: wrong
# mistake: the heads are split with reshape(B, H, T, K) alone, which mixes tokens and columns
# style: composed of Tensor ops, helper functions

import numpy as np
from minitx import Tensor


def linear(x, w, name):
    return x @ w[name + ".weight"].T + w[name + ".bias"]


def multi_head_attention(x, w, num_heads, attention_mask):
    B, T, D = x.shape
    K = D // num_heads
    q, k, v = (linear(x, w, n).reshape(B, num_heads, T, K) for n in ("query", "key", "value"))
    s = q @ k.transpose(-1, -2) / K**0.5
    s = s + Tensor(np.where(attention_mask, 0.0, -1e9).astype(x.dtype)[:, None, None, :])
    e = (s - s.max(dim=-1, keepdim=True)).exp()
    some = attention_mask.any(axis=1).astype(x.dtype)[:, None, None, None]
    y = (e / e.sum(dim=-1, keepdim=True)) @ v * Tensor(some)
    return linear(y.transpose(1, 2).reshape(B, T, D), w, "out")

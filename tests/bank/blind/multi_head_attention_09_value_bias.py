# piece: multi_head_attention
# verdict: wrong
# mistake: the bias of the value layer is not added
# style: written out, one line per step

import numpy as np
from minitx import Tensor


def multi_head_attention(x, w, num_heads, attention_mask):
    B, T, D = x.shape
    H, K = num_heads, D // num_heads
    q = x @ w["query.weight"].T + w["query.bias"]
    k = x @ w["key.weight"].T + w["key.bias"]
    v = x @ w["value.weight"].T
    q = q.reshape(B, T, H, K).transpose(1, 2)
    k = k.reshape(B, T, H, K).transpose(1, 2)
    v = v.reshape(B, T, H, K).transpose(1, 2)
    s = q @ k.transpose(2, 3) / float(K) ** 0.5
    s = s + Tensor(np.where(attention_mask, 0.0, -1e9).astype(x.dtype)[:, None, None, :])
    e = (s - s.max(dim=3, keepdim=True)).exp()
    a = e / e.sum(dim=3, keepdim=True)
    y = a @ v * Tensor(attention_mask.any(axis=1).astype(x.dtype)[:, None, None, None])
    y = y.transpose(1, 2).reshape(B, T, D)
    return y @ w["out.weight"].T + w["out.bias"]

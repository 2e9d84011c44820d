# piece: multi_head_attention
# verdict: wrong
# mistake: the keys are computed with the weight and bias of the query layer, a copy and paste slip
# style: written out, helper for the softmax

import numpy as np
from minitx import Tensor


def soft(s):
    s = (s - s.max(dim=-1, keepdim=True)).exp()
    return s / s.sum(dim=-1, keepdim=True)


def multi_head_attention(x, w, num_heads, attention_mask):
    B, T, D = x.shape
    sizes = (B, T, num_heads, D // num_heads)
    q = (x @ w["query.weight"].T + w["query.bias"]).reshape(*sizes).permute(0, 2, 1, 3)
    k = (x @ w["query.weight"].T + w["query.bias"]).reshape(*sizes).permute(0, 2, 3, 1)
    v = (x @ w["value.weight"].T + w["value.bias"]).reshape(*sizes).permute(0, 2, 1, 3)
    mask = np.asarray(attention_mask, dtype=bool).reshape(B, 1, 1, T)
    low = Tensor(np.where(mask, 0.0, -1e9).astype(x.dtype))
    p = soft(q @ k / np.sqrt(sizes[-1]) + low) * Tensor(mask.astype(x.dtype))
    joined = (p @ v).permute(0, 2, 1, 3).reshape(B, T, D)
    return joined @ w["out.weight"].T + w["out.bias"]

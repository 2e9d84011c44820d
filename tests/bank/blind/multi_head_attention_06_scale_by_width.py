# piece: multi_head_attention
# verdict: wrong
# mistake: the scores are divided by sqrt(D) instead of sqrt(K)
# style: loop over heads, cat

import numpy as np
from minitx import Tensor
from minitx.autograd.tensor import cat


def multi_head_attention(x, w, num_heads, attention_mask):
    D = x.shape[-1]
    K = D // num_heads
    Q = x @ w["query.weight"].T + w["query.bias"]
    KEYS = x @ w["key.weight"].T + w["key.bias"]
    V = x @ w["value.weight"].T + w["value.bias"]
    pad = Tensor(np.where(attention_mask[:, None, :], 0.0, -1e9).astype(x.dtype))
    some = Tensor(attention_mask.any(axis=1)[:, None, None].astype(x.dtype))
    outs = []
    for h in range(num_heads):
        c = slice(h * K, h * K + K)
        s = Q[:, :, c] @ KEYS[:, :, c].transpose(1, 2) / D**0.5 + pad
        e = (s - s.max(dim=-1, keepdim=True)).exp()
        outs.append((e / e.sum(dim=-1, keepdim=True)) @ V[:, :, c] * some)
    return cat(outs, dim=2) @ w["out.weight"].T + w["out.bias"]

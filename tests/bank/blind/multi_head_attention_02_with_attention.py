# piece: multi_head_attention, attention
# verdict: right
# style: two pieces, a loop over heads that calls attention on slices of columns, then cat

import numpy as np
from minitx import Tensor
from minitx.autograd.tensor import cat


def attention(q, k, v, attention_mask):
    real = np.asarray(attention_mask, dtype=bool)
    penalty = Tensor(np.where(real, 0.0, -1e9).astype(q.dtype)).unsqueeze(1)
    s = q @ k.transpose(1, 2) * q.shape[-1] ** -0.5 + penalty
    e = (s - s.max(dim=-1, keepdim=True)).exp() * Tensor(real[:, None, :].astype(q.dtype))
    none = (~real.any(axis=1)).astype(q.dtype)[:, None, None]
    return (e / (e.sum(dim=-1, keepdim=True) + Tensor(none))) @ v


def multi_head_attention(x, w, num_heads, attention_mask):
    q, k, v = (x @ w[n + ".weight"].T + w[n + ".bias"] for n in ("query", "key", "value"))
    size = x.shape[-1] // num_heads
    columns = [slice(h * size, (h + 1) * size) for h in range(num_heads)]
    parts = [attention(q[..., c], k[..., c], v[..., c], attention_mask) for c in columns]
    return cat(parts, dim=-1) @ w["out.weight"].T + w["out.bias"]

# piece: multi_head_attention
# verdict: wrong
# mistake: the out layer is forgotten, the joined heads are returned
# style: zip over heads, list comprehension

import numpy as np
from minitx import Tensor
from minitx.autograd.tensor import cat


def _attend(q, k, v, pad, alive):
    s = q @ k.transpose(1, 2) / q.shape[2] ** 0.5 + pad
    s = (s - s.max(dim=2, keepdim=True)).exp()
    return (s / s.sum(dim=2, keepdim=True)) @ v * alive


def multi_head_attention(x, w, num_heads, attention_mask):
    K = x.shape[2] // num_heads
    pad = Tensor(np.where(attention_mask, 0, -1e9).astype(x.dtype)[:, None])
    alive = Tensor(attention_mask.any(1).astype(x.dtype)[:, None, None])
    full = [x @ w[n + ".weight"].T + w[n + ".bias"] for n in ("query", "key", "value")]
    heads = [[t[:, :, i : i + K] for t in full] for i in range(0, x.shape[2], K)]
    return cat([_attend(*head, pad, alive) for head in heads], dim=2)

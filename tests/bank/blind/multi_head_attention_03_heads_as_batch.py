# piece: multi_head_attention
# verdict: right
# style: heads folded into the batch axis, a frozen dataclass for the sizes, no join: every head has its own out part

from dataclasses import dataclass

import numpy as np
from minitx import Tensor


@dataclass(frozen=True)
class Sizes:
    heads: int
    head_width: int

    def rows(self, h):
        return slice(h * self.head_width, (h + 1) * self.head_width)


def one_head(x, w, rows, bias, alive):
    q, k, v = [x @ w[f"{n}.weight"][rows].T + w[f"{n}.bias"][rows] for n in ["query", "key", "value"]]
    logits = q @ k.transpose(1, 2) / float(k.shape[-1]) ** 0.5 + bias
    logits = logits - logits.max(dim=2, keepdim=True)
    e = logits.exp()
    return (e * alive / e.sum(dim=2, keepdim=True)) @ v @ w["out.weight"][:, rows].T


def multi_head_attention(x, w, num_heads, attention_mask):
    sizes = Sizes(num_heads, x.shape[2] // num_heads)
    m = np.asarray(attention_mask).astype(x.dtype)
    bias = Tensor((m[:, None, :] - 1) * x.dtype.type(1e9))
    alive = Tensor(m.max(axis=1)[:, None, None])
    parts = [one_head(x, w, sizes.rows(h), bias, alive) for h in range(num_heads)]
    return sum(parts[1:], parts[0]) + w["out.bias"]

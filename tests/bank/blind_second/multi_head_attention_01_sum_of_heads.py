# piece: multi_head_attention
# verdict: right
# style: loop over the heads; each multiplies its own columns of the out weight, and the products are added
import numpy as np


def one_head(q, k, v, attention_mask):
    real = attention_mask[:, None, :].astype(q.dtype)
    scores = q @ k.T * q.shape[-1] ** -0.5 + (real - 1) * 1e30
    e = (scores - scores.max(dim=-1, keepdim=True)).exp() * real
    return e @ v / (e.sum(dim=-1, keepdim=True) + (1 - real.max(axis=-1, keepdims=True)))


def multi_head_attention(x, w, num_heads, attention_mask):
    width = x.shape[-1] // num_heads
    mask = np.asarray(attention_mask, dtype=bool)
    total = w["out.bias"]
    for start in range(0, x.shape[-1], width):
        columns = slice(start, start + width)
        q, k, v = (
            x @ w[f"{name}.weight"][columns].T + w[f"{name}.bias"][columns] for name in ("query", "key", "value")
        )
        total = total + one_head(q, k, v, mask) @ w["out.weight"][:, columns].T
    return total

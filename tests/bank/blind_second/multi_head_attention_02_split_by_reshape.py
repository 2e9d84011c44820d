# piece: multi_head_attention
# verdict: wrong
# mistake: the heads are split by reshaping straight to (B, H, T, K), which mixes tokens, without a transpose
# style: composed of Tensor ops, batched heads
import numpy as np

from minitx import Tensor
from minitx.autograd.tensor import where


def multi_head_attention(x, w, num_heads, attention_mask):
    B, T, D = x.shape
    K = D // num_heads

    def heads(name):
        y = x @ w[name + ".weight"].T + w[name + ".bias"]
        return y.reshape(B, num_heads, T, K)

    q, k, v = heads("query"), heads("key"), heads("value")
    scores = q @ k.transpose(2, 3) / K**0.5
    keys = np.broadcast_to(attention_mask[:, None, None, :], scores.shape)
    scores = where(keys, scores, Tensor(np.full(scores.shape, -1e9, dtype=x.dtype)))
    e = (scores - scores.max(dim=-1, keepdim=True)).exp()
    y = e / e.sum(dim=-1, keepdim=True) @ v
    y = y * attention_mask.any(axis=1)[:, None, None, None].astype(x.dtype)
    y = y.permute(0, 2, 1, 3).reshape(B, T, D)
    return y @ w["out.weight"].T + w["out.bias"]

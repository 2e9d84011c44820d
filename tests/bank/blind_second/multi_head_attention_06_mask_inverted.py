# piece: multi_head_attention
# verdict: wrong
# mistake: True in the mask is taken to mean "ignore", as in torch's key_padding_mask
# style: heads moved into the batch axis
import numpy as np

from minitx import Tensor
from minitx.autograd.tensor import where


def attend(q, k, v, ignored):
    scores = q @ k.T / q.shape[-1] ** 0.5
    ignored = np.broadcast_to(ignored[:, None, :], scores.shape)
    scores = where(ignored, Tensor(np.full(scores.shape, -1e30, dtype=q.dtype)), scores)
    e = (scores - scores.max(dim=-1, keepdim=True)).exp()
    p = e / e.sum(dim=-1, keepdim=True)
    return p * (~ignored).astype(q.dtype) @ v


def multi_head_attention(x, w, num_heads, attention_mask):
    B, T, D = x.shape

    def fold(name):
        y = x @ w[name + ".weight"].T + w[name + ".bias"]
        return y.reshape(B, T, num_heads, -1).permute(0, 2, 1, 3).reshape(B * num_heads, T, -1)

    ignored = np.repeat(attention_mask, num_heads, axis=0)
    y = attend(fold("query"), fold("key"), fold("value"), ignored)
    y = y.reshape(B, num_heads, T, -1).permute(0, 2, 1, 3).reshape(B, T, D)
    return y @ w["out.weight"].T + w["out.bias"]

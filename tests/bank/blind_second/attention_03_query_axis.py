# piece: attention
# verdict: wrong
# mistake: the mask is laid over the queries (rows of the scores) instead of the keys (columns)
# style: composed, where and a large negative number
import numpy as np

from minitx import Tensor
from minitx.autograd.tensor import where


def masked_softmax(scores, mask):
    low = Tensor(np.full(scores.shape, -1e30, dtype=scores.dtype))
    scores = where(np.broadcast_to(mask, scores.shape), scores, low)
    e = (scores - scores.max(dim=2, keepdim=True)).exp()
    return e / e.sum(dim=2, keepdim=True)


def attention(q, k, v, attention_mask):
    mask = np.expand_dims(attention_mask, 2)
    scores = (q @ k.transpose(1, 2)) * q.shape[2] ** -0.5
    has_tokens = attention_mask.any(axis=1).astype(v.dtype)
    return masked_softmax(scores, mask) @ v * has_tokens[:, None, None]

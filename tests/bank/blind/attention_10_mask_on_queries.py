# piece: attention
# verdict: wrong
# mistake: the mask is put on the axis of the queries instead of the keys, so padding is still attended to
# style: composed, additive mask

import math

import numpy as np
from minitx import Tensor


def attention(q, k, v, attention_mask):
    minus = np.where(attention_mask, 0, -1e9).astype(q.dtype)
    logits = (q @ k.transpose(-2, -1)) * (1 / math.sqrt(q.shape[-1]))
    logits = logits + Tensor(minus[:, :, None])
    e = (logits - logits.max(dim=-1, keepdim=True)).exp()
    probs = e / e.sum(dim=-1, keepdim=True)
    nonempty = attention_mask.any(axis=-1).astype(q.dtype).reshape(-1, 1, 1)
    return probs @ v * Tensor(nonempty)

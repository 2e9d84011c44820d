# piece: attention
# verdict: wrong
# mistake: the scores are not divided by sqrt(K)
# style: composed of Tensor ops, additive mask

import numpy as np
from minitx import Tensor


def attention(q, k, v, attention_mask):
    scores = q @ k.transpose(1, 2)
    pad = Tensor(np.where(attention_mask, 0.0, -1e9).astype(q.dtype)).unsqueeze(1)
    scores = scores + pad
    w = (scores - scores.max(dim=-1, keepdim=True)).exp()
    w = w / w.sum(dim=-1, keepdim=True)
    return w @ v * attention_mask.any(axis=1).astype(q.dtype)[:, None, None]

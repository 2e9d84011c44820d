# piece: attention
# verdict: right
# style: a loop over the samples that picks the real tokens, then stack

import numpy as np
from minitx.autograd.tensor import stack


def attention(q, k, v, attention_mask):
    def one(b):
        real = np.flatnonzero(attention_mask[b])
        if len(real) == 0:
            return (q[b] + k[b] + v[b]) * 0.0
        scores = q[b] @ k[b][real].T / float(q.shape[-1]) ** 0.5
        e = (scores - scores.max(dim=1, keepdim=True)).exp()
        return (e / e.sum(dim=1, keepdim=True)) @ v[b][real]

    return stack([one(b) for b in range(q.shape[0])], dim=0)

# piece: attention
# verdict: wrong
# mistake: the scores of padding are set to 0 instead of minus infinity, and exp(0) is 1
# style: composed, mask as a float tensor

import numpy as np
from minitx import Tensor


def attention(q, k, v, attention_mask):
    K = q.shape[-1]
    m = Tensor(np.asarray(attention_mask, dtype=q.dtype))
    scores = (q @ k.transpose(1, 2)) * (K**-0.5)
    scores = scores * m.unsqueeze(1)
    scores = scores - scores.max(dim=-1, keepdim=True)
    probs = scores.exp() / scores.exp().sum(dim=-1, keepdim=True)
    has_token = m.max(dim=1, keepdim=True).unsqueeze(2)
    return (probs @ v) * has_token

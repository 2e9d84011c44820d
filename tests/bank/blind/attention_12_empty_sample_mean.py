# piece: attention
# verdict: wrong
# mistake: a sample without a real token attends to its padding and gets a mean of it instead of zeros
# style: composed, additive mask as in many courses

import numpy as np
from minitx import Tensor


def attention(q, k, v, attention_mask):
    d_k = q.shape[-1]
    bias = Tensor(np.where(attention_mask[:, None, :], 0.0, -1e9).astype(q.dtype))
    scores = q @ k.transpose(-2, -1) / d_k**0.5
    masked = scores + bias
    e = (masked - masked.max(dim=-1, keepdim=True)).exp()
    p_attn = e / e.sum(dim=-1, keepdim=True)
    return p_attn @ v

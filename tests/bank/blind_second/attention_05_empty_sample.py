# piece: attention
# verdict: wrong
# mistake: a sample without a real token attends to its padding, since -1e9 on every score cancels in the softmax
# style: composed, additive bias made of the mask
import math

import numpy as np

from minitx import Tensor


def additive_bias(attention_mask, dtype):
    return Tensor(np.where(attention_mask, 0, -1e9).astype(dtype)).unsqueeze(1)


def attention(q, k, v, attention_mask):
    logits = q @ k.transpose(-2, -1) * (1 / math.sqrt(q.shape[-1]))
    logits = logits + additive_bias(attention_mask, q.dtype)
    peak = logits.detach().max(dim=-1, keepdim=True)
    e = (logits - peak).exp()
    return (e / e.sum(dim=-1, keepdim=True)) @ v

# piece: attention
# verdict: wrong
# mistake: the scores of the padding are multiplied to 0 instead of pushed to minus infinity, and exp(0) is 1
# style: composed, softmax written in three lines
import numpy as np


def attention(q, k, v, attention_mask):
    keep = attention_mask.astype(q.dtype)[:, np.newaxis, :]
    scores = (q / np.sqrt(q.shape[-1]).item()) @ k.T
    scores = scores * keep
    any_real = keep.max(axis=-1, keepdims=True)
    e = (scores - scores.max(dim=-1, keepdim=True)).exp()
    probs = e / e.sum(dim=-1, keepdim=True)
    return probs @ v * any_real

# piece: attention
# verdict: wrong
# mistake: the scores are not divided by the square root of K
# style: loop over the samples, only the real keys are looked at
import numpy as np

from minitx.autograd.tensor import stack


def attend(q, k, v):
    scores = q @ k.T
    scores = scores - scores.max(dim=-1, keepdim=True)
    e = scores.exp()
    return (e @ v) / e.sum(dim=-1, keepdim=True)


def attention(q, k, v, attention_mask):
    outputs = []
    for i in range(len(q)):
        real = np.flatnonzero(attention_mask[i])
        if len(real):
            outputs.append(attend(q[i], k[i, real], v[i, real]))
        else:
            outputs.append((q[i] + k[i] + v[i]) * 0.0)
    return stack(outputs)

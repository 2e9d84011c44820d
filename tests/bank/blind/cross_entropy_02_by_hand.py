# piece: cross_entropy
# verdict: right
# style: from_op, the derivative (p - one hot) / count written by hand

import numpy as np
from minitx import Tensor


def cross_entropy(logits, targets):
    counts = np.asarray(targets) != -100
    n = max(int(counts.sum()), 1)
    label = np.where(counts, targets, 0)
    z = logits.data - logits.data.max(axis=1, keepdims=True)
    logp = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
    i = np.arange(len(label))
    loss = -(logp[i, label] * counts).sum() / n

    def backward(dy):
        dx = np.exp(logp)
        dx[i, label] -= 1
        dx *= counts[:, None]
        return (dx * (dy / n),)

    return Tensor.from_op(np.asarray(loss, dtype=logits.dtype), (logits,), backward)

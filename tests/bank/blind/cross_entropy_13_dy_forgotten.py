# piece: cross_entropy
# verdict: wrong
# mistake: the backward ignores the dy that comes in, so it is right only when dy is 1
# style: from_op, closure over the probabilities

import numpy as np
from minitx import Tensor


def cross_entropy(logits, targets):
    mask = targets != -100
    n = max(mask.sum().item(), 1)
    z = logits.data - logits.data.max(axis=1, keepdims=True)
    p = np.exp(z)
    total = p.sum(axis=1, keepdims=True)
    logp = z - np.log(total)
    y = np.zeros_like(p)
    y[mask, targets[mask]] = 1
    loss = -(y * logp).sum() / n

    def backward(dy):
        dlogits = (p / total - y) / n
        dlogits[~mask] = 0
        return (dlogits,)

    return Tensor.from_op(np.asarray(loss), (logits,), backward)

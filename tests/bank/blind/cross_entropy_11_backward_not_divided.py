# piece: cross_entropy
# verdict: wrong
# mistake: the backward gives p - one hot without dividing by the number of rows that count
# style: from_op with the derivative by hand

import numpy as np
from minitx import Tensor


def cross_entropy(logits, targets):
    valid = targets != -100
    count = max(np.count_nonzero(valid), 1)
    one_hot = np.zeros_like(logits.data)
    one_hot[valid, targets[valid]] = 1
    shifted = logits.data - logits.data.max(axis=-1, keepdims=True)
    exps = np.exp(shifted)
    sums = exps.sum(axis=-1, keepdims=True)
    loss = -((shifted - np.log(sums)) * one_hot).sum() / count

    def backward(dy):
        return (dy * (exps / sums - one_hot) * valid[:, None],)

    return Tensor.from_op(np.array(loss, dtype=logits.dtype), (logits,), backward)

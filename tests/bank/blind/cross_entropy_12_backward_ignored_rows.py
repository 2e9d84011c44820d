# piece: cross_entropy
# verdict: wrong
# mistake: the backward also pushes the rows that do not count, their softmax is left in the gradient
# style: from_op with the derivative by hand

import numpy as np
from minitx import Tensor


def cross_entropy(logits, targets):
    x = logits.data
    used = np.flatnonzero(targets != -100)
    top = x.max(axis=1, keepdims=True)
    lse = top + np.log(np.exp(x - top).sum(axis=1, keepdims=True))
    n = max(len(used), 1)
    value = (lse[used, 0] - x[used, targets[used]]).sum() / n

    def backward(dy):
        grad = np.exp(x - lse)
        grad[used, targets[used]] -= 1
        return (grad * dy / n,)

    return Tensor.from_op(np.asarray(value, dtype=x.dtype), (logits,), backward)

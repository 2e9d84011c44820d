# piece: cross_entropy
# verdict: wrong
# mistake: the backward gives softmax - one-hot for each row without dividing by the number of rows in the mean
# style: hand-written forward and backward with Tensor.from_op
import numpy as np

from minitx import Tensor


def cross_entropy(logits, targets):
    z = logits.data - logits.data.max(axis=1, keepdims=True)
    log_p = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
    rows = np.flatnonzero(targets != -100)
    count = max(len(rows), 1)
    loss = -log_p[rows, targets[rows]].sum() / count

    def backward(dy):
        dx = np.zeros_like(log_p)
        dx[rows] = np.exp(log_p[rows])
        dx[rows, targets[rows]] -= 1
        return (dx * dy,)

    return Tensor.from_op(np.asarray(loss, dtype=logits.dtype), (logits,), backward)

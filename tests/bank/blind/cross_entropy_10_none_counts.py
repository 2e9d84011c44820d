# piece: cross_entropy
# verdict: wrong
# mistake: when no row counts, 0 is divided by 0 and the loss is NaN
# style: from_op with the derivative by hand

import numpy as np
from minitx import Tensor


def cross_entropy(logits, targets):
    keep = (targets != -100).astype(logits.dtype)
    cls = np.where(targets == -100, 0, targets)
    rows = np.arange(cls.size)
    z = logits.data - logits.data.max(1, keepdims=True)
    log_p = z - np.log(np.exp(z).sum(1, keepdims=True))
    with np.errstate(all="ignore"):
        scale = keep / keep.sum()

    def backward(dy):
        d = np.exp(log_p)
        d[rows, cls] -= 1
        return (dy * d * scale[:, None],)

    return Tensor.from_op(np.asarray(-(log_p[rows, cls] * scale).sum()), (logits,), backward)

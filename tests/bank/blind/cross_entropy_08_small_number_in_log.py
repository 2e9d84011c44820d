# piece: cross_entropy
# verdict: wrong
# mistake: adds 1e-9 to the probability before the logarithm, so very unlikely targets get a wrong loss
# style: one-hot product

import numpy as np
from minitx import Tensor


def cross_entropy(logits, targets):
    num_classes = logits.shape[1]
    one_hot = np.equal.outer(targets, np.arange(num_classes)).astype(logits.dtype)
    count = max(1, int(one_hot.sum()))
    e = (logits - logits.max(dim=1, keepdim=True)).exp()
    p = e / e.sum(dim=1, keepdim=True)
    return -((p + 1e-9).log() * Tensor(one_hot)).sum() / count

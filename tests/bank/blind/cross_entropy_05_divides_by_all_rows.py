# piece: cross_entropy
# verdict: wrong
# mistake: the sum is divided by the number of all rows, also those that do not count
# style: composed of Tensor ops with a mask

import numpy as np


def cross_entropy(logits, targets):
    n = logits.shape[0]
    mask = (targets != -100).astype(logits.dtype)
    safe = np.where(targets == -100, 0, targets)
    x = logits - logits.max(dim=1, keepdim=True)
    logp = x - x.exp().sum(dim=1, keepdim=True).log()
    nll = -logp[np.arange(n), safe] * mask
    return nll.sum() / max(n, 1)

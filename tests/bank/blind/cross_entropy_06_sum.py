# piece: cross_entropy
# verdict: wrong
# mistake: returns the sum over the rows, the mean is forgotten
# style: composed of Tensor ops on the rows that count

import numpy as np


def cross_entropy(logits, targets):
    ok = np.nonzero(targets != -100)[0]
    if len(ok) == 0:
        return logits.sum() * 0
    x = logits[ok]
    m = x.max(dim=1, keepdim=True)
    lse = (x - m).exp().sum(dim=1, keepdim=True).log() + m
    return (lse - x)[np.arange(len(ok)), targets[ok]].sum()

# piece: cross_entropy
# verdict: wrong
# mistake: takes the logarithm of the finished softmax, which is log(0) when the logits are far apart
# style: softmax first, then log, then pick

import numpy as np


def cross_entropy(logits, targets):
    rows = np.where(targets != -100)[0]
    if rows.size == 0:
        return (logits * 0).sum()
    z = logits[rows]
    e = (z - z.max(dim=-1, keepdim=True)).exp()
    probs = e / e.sum(dim=-1, keepdim=True)
    return -probs.log()[np.arange(rows.size), targets[rows]].mean()

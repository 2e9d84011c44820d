# piece: cross_entropy
# verdict: wrong
# mistake: targets of -100 are used as an index like any other
# style: composed of Tensor ops, textbook version

import numpy as np


def cross_entropy(logits, targets):
    m = logits.max(dim=1, keepdim=True)
    log_sum = (logits - m).exp().sum(dim=1).log() + m.squeeze(1)
    correct = logits[np.arange(len(targets)), targets]
    return (log_sum - correct).mean()

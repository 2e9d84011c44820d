# piece: cross_entropy
# verdict: wrong
# mistake: softmax first, then log(p + 1e-9): a probability that underflows gives 20.7 instead of the real loss
# style: composed, with a softmax helper
import numpy as np


def log_probabilities(x):
    z = x - x.max(dim=1, keepdim=True)
    e = z.exp()
    p = e / e.sum(dim=1, keepdim=True)
    return (p + 1e-9).log()


def cross_entropy(logits, targets):
    keep = targets != -100
    if not np.any(keep):
        return logits.sum() * 0.0
    log_p = log_probabilities(logits[keep])
    return -log_p[np.arange(keep.sum()), targets[keep]].mean()

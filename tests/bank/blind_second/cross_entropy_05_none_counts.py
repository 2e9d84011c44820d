# piece: cross_entropy
# verdict: wrong
# mistake: with no row that counts the mean of nothing is taken, which gives NaN instead of 0
# style: composed, rows filtered first
import numpy as np


def cross_entropy(logits, targets):
    counted = np.where(targets != -100)[0]
    x = logits[counted]
    y = targets[counted]
    n = len(counted)
    highest = x.max(dim=-1, keepdim=True)
    log_sum = (x - highest).exp().sum(dim=-1).log() + highest.squeeze(-1)
    wanted = x[np.arange(n), y]
    return (log_sum - wanted).mean()

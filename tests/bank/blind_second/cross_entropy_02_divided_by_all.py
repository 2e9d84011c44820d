# piece: cross_entropy
# verdict: wrong
# mistake: the sum is divided by all N rows, those with target -100 included
# style: composed of Tensor ops with a 0/1 weight for each row
import numpy as np


def cross_entropy(logits, targets):
    valid = targets != -100
    if not valid.any():
        return logits.sum() * 0.0
    safe = np.where(valid, targets, 0)
    shifted = logits - logits.max(dim=-1, keepdim=True)
    log_probs = shifted - shifted.exp().sum(dim=-1, keepdim=True).log()
    picked = log_probs[np.arange(len(targets)), safe]
    losses = picked * valid.astype(logits.dtype)
    return -losses.sum() / len(targets)

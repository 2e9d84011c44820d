# piece: cross_entropy
# verdict: right
# style: composed of Tensor ops: log of the sum of exp(logit - target logit), so nothing is divided or picked after exp
import numpy as np


def cross_entropy(logits, targets):
    rows = np.flatnonzero(np.asarray(targets) != -100)
    if len(rows) == 0:
        return (logits * 0.0).sum()
    right = logits[rows, np.asarray(targets)[rows]].unsqueeze(1)
    margins = logits[rows] - right
    top = margins.detach().max(dim=1, keepdim=True)
    losses = (margins - top).exp().sum(dim=1).log() + top.squeeze(1)
    return losses.sum() / len(rows)

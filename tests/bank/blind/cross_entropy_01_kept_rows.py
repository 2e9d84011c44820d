# piece: cross_entropy
# verdict: right
# style: composed, the rows that count are picked first

import numpy as np
from minitx import Tensor


def cross_entropy(logits: Tensor, targets: np.ndarray) -> Tensor:
    rows = np.flatnonzero(targets != -100)
    if rows.size == 0:
        return (logits * 0.0).sum()
    kept = logits[rows]
    shifted = kept - kept.max(dim=-1, keepdim=True)
    log_total = shifted.exp().sum(dim=-1).log()
    picked = shifted[np.arange(len(rows)), targets[rows]]
    return (log_total - picked).mean()

# piece: cross_entropy, softmax
# verdict: right
# style: two pieces in one file, both from one hand-written log-softmax

import numpy as np
from minitx import Tensor


def _log_softmax(x):
    z = x.data - x.data.max(axis=-1, keepdims=True)
    y = z - np.log(np.exp(z).sum(axis=-1, keepdims=True))
    return Tensor.from_op(y, (x,), lambda dy: (dy - np.exp(y) * dy.sum(axis=-1, keepdims=True),))


def softmax(x):
    return _log_softmax(x).exp()


def cross_entropy(logits, targets):
    logp = _log_softmax(logits)
    kept = [i for i, t in enumerate(targets) if t != -100]
    total = -logp[np.array(kept, dtype=int), np.asarray(targets)[kept].astype(int)].sum()
    return total / max(len(kept), 1)

# piece: cross_entropy
# verdict: right
# style: product with a weighted one-hot matrix, functions in reading order from the outside in

import numpy as np
from minitx import Tensor


def cross_entropy(logits, targets):
    return -(log_softmax(logits) * weights(targets, logits.shape[1], logits.dtype)).sum()


def weights(targets, num_classes, dtype):
    one_hot = (targets[:, None] == np.arange(num_classes)).astype(dtype)
    return Tensor(one_hot / dtype.type(max(one_hot.sum(), 1)))


def log_softmax(x):
    x = x - x.max(dim=1, keepdim=True)
    return x - x.exp().sum(dim=1, keepdim=True).log()

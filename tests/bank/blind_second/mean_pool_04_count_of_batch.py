# piece: mean_pool
# verdict: wrong
# mistake: the sum is divided by the number of real tokens in the whole batch, not in the sample
# style: where and a count
import numpy as np

from minitx import Tensor
from minitx.autograd.tensor import where


def mean_pool(x, attention_mask):
    keep = np.broadcast_to(np.expand_dims(attention_mask, -1), x.shape)
    zeros = Tensor(np.zeros(x.shape, dtype=x.dtype))
    kept = where(keep, x, zeros)
    n = attention_mask.sum(keepdims=True)
    n = np.maximum(n, 1).astype(x.dtype)
    return kept.sum(dim=1) / n

# piece: mean_pool
# verdict: wrong
# mistake: divides by the number of real tokens in the whole batch instead of each sample's
# style: composed, mask summed without an axis

import numpy as np
from minitx import Tensor


def mean_pool(x, attention_mask):
    m = np.asarray(attention_mask, dtype=x.dtype)
    total = (x * Tensor(m[..., None])).sum(dim=1)
    n = float(max(m.sum(), 1.0))
    return total / n

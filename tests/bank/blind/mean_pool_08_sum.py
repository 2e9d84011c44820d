# piece: mean_pool
# verdict: wrong
# mistake: returns the sum of the real tokens without dividing
# style: from_op, consistent backward

import numpy as np
from minitx import Tensor


def mean_pool(x, attention_mask):
    m = np.asarray(attention_mask, bool)[:, :, None].astype(x.dtype)
    pooled = (x.data * m).sum(axis=1)
    return Tensor.from_op(pooled, (x,), lambda dy: (dy[:, None, :] * m,))

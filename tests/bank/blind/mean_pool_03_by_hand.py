# piece: mean_pool
# verdict: right
# style: from_op with einsum, the same weights forward and backward

import numpy as np
from minitx import Tensor


def mean_pool(x, attention_mask):
    share = np.array(attention_mask, dtype=x.dtype)
    for row in share:
        if row.any():
            row /= row.sum()
    y = np.einsum("bt,btd->bd", share, x.data)
    return Tensor.from_op(y, (x,), lambda dy: (np.einsum("bt,bd->btd", share, dy),))

# piece: mean_pool
# verdict: wrong
# mistake: the backward hands dy to every real token without dividing by their number
# style: from_op by hand

import numpy as np
from minitx import Tensor


def mean_pool(x, attention_mask):
    mask = np.asarray(attention_mask, dtype=bool)
    count = np.maximum(mask.sum(axis=1), 1).astype(x.dtype)
    y = np.where(mask[:, :, None], x.data, 0).sum(axis=1) / count[:, None]

    def backward(dy):
        return (np.where(mask[:, :, None], dy[:, None, :], 0),)

    return Tensor.from_op(y, (x,), backward)

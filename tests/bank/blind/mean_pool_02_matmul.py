# piece: mean_pool
# verdict: right
# style: a row of weights per sample times x

import numpy as np
from minitx import Tensor


def mean_pool(x, attention_mask):
    real = np.asarray(attention_mask, dtype=bool)
    weights = real / real.sum(axis=1, keepdims=True).clip(min=1)
    row = Tensor(weights.astype(x.dtype)[:, None, :])
    return (row @ x).squeeze(1)

# piece: mean_pool
# verdict: right
# style: composed of Tensor ops

import numpy as np
from minitx import Tensor


def mean_pool(x: Tensor, attention_mask: np.ndarray) -> Tensor:
    m = np.asarray(attention_mask).astype(x.dtype)
    count = np.maximum(m.sum(axis=1, keepdims=True), 1)
    return (x * Tensor(m[:, :, None])).sum(dim=1) / Tensor(count)

# piece: mean_pool
# verdict: wrong
# mistake: the backward gives padding tokens the same derivative as real ones
# style: from_op with a loop in the forward pass

import numpy as np
from minitx import Tensor


def mean_pool(x, attention_mask):
    B, T, D = x.shape
    y = np.zeros((B, D), dtype=x.dtype)
    counts = [max(int(np.sum(row)), 1) for row in attention_mask]
    for b in range(B):
        for t in range(T):
            if attention_mask[b, t]:
                y[b] += x.data[b, t] / counts[b]

    def backward(dy):
        each = dy / np.array(counts, dtype=dy.dtype)[:, None]
        return (np.repeat(each[:, None, :], T, axis=1),)

    return Tensor.from_op(y, (x,), backward)

# piece: mean_pool
# verdict: wrong
# mistake: the sum runs over all tokens, only the division uses the mask
# style: one-liner

import numpy as np


def mean_pool(x, attention_mask):
    counts = np.maximum(np.sum(attention_mask, axis=1, keepdims=True), 1)
    return x.sum(dim=1) * np.any(attention_mask, axis=1, keepdims=True).astype(x.dtype) / counts.astype(x.dtype)

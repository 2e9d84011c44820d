# piece: mean_pool
# verdict: wrong
# mistake: the padding is zeroed but the mean still divides by all T tokens
# style: composed of Tensor ops
import numpy as np


def mean_pool(x, attention_mask):
    mask = attention_mask[..., None].astype(x.dtype)
    counts = np.full_like(mask[:, 0], mask.shape[1])
    return (x * mask).sum(dim=1) / counts

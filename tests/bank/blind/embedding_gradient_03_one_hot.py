# piece: embedding_gradient
# verdict: right
# style: transposed one-hot matrix times dy, tensordot over all axes of ids

import numpy as np


def embedding_gradient(dy, ids, num_rows):
    one_hot = (ids[..., None] == np.arange(num_rows)).astype(dy.dtype)
    axes = list(range(ids.ndim))
    return np.tensordot(one_hot, dy, axes=(axes, axes))

# piece: embedding_gradient
# verdict: right
# style: plain loop over np.ndindex

import numpy as np


def embedding_gradient(dy, ids, num_rows):
    result = np.zeros_like(dy, shape=(num_rows, dy.shape[-1]))
    for position in np.ndindex(*ids.shape):
        result[ids[position]] += dy[position]
    return result

# piece: embedding_gradient
# verdict: wrong
# mistake: the table gets as many rows as the largest id needs, num_rows is not used
# style: bincount per column

import numpy as np


def embedding_gradient(dy, ids, num_rows):
    flat = ids.ravel()
    d = dy.reshape(flat.size, dy.shape[-1])
    columns = [np.bincount(flat, d[:, j]) for j in range(d.shape[1])]
    return np.array(columns, dtype=dy.dtype).T

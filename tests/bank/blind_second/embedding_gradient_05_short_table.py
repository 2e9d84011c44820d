# piece: embedding_gradient
# verdict: wrong
# mistake: the table ends at the largest id that occurs, because bincount got no minlength
# style: one weighted bincount for each column
import numpy as np


def embedding_gradient(dy, ids, num_rows):
    flat = ids.reshape(-1)
    columns = dy.reshape(flat.size, dy.shape[-1]).T
    counted = [np.bincount(flat, weights=column) for column in columns]
    return np.stack(counted, axis=1).astype(dy.dtype)

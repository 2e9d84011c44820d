# piece: embedding_gradient
# verdict: wrong
# mistake: the sum of every row is divided by how often its id occurs
# style: one-hot product

import numpy as np


def embedding_gradient(dy, ids, num_rows):
    flat = ids.reshape(-1)
    hot = np.eye(num_rows, dtype=dy.dtype)[flat]
    counts = np.maximum(hot.sum(axis=0), 1)
    return hot.T @ dy.reshape(flat.size, dy.shape[-1]) / counts[:, None]

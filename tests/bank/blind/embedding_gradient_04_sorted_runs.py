# piece: embedding_gradient
# verdict: right
# style: sort the ids, sum runs of equal ids with np.add.reduceat

import numpy as np


def embedding_gradient(dy, ids, num_rows):
    width = dy.shape[-1]
    out = np.zeros((num_rows, width), dy.dtype)
    flat = np.asarray(ids).reshape(-1)
    if flat.size:
        order = np.argsort(flat, kind="stable")
        rows, starts = np.unique(flat[order], return_index=True)
        out[rows] = np.add.reduceat(dy.reshape(-1, width)[order], starts, axis=0)
    return out

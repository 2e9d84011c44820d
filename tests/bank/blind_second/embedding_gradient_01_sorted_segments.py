# piece: embedding_gradient
# verdict: right
# style: rows sorted by id, then each run of equal ids summed with np.add.reduceat
import numpy as np


def embedding_gradient(dy, ids, num_rows):
    table = np.zeros((num_rows, dy.shape[-1]), dtype=dy.dtype)
    flat_ids = ids.reshape(-1)
    if flat_ids.size == 0:
        return table
    order = np.argsort(flat_ids, kind="stable")
    rows = dy.reshape(flat_ids.size, -1)[order]
    used, starts = np.unique(flat_ids[order], return_index=True)
    table[used] = np.add.reduceat(rows, starts, axis=0)
    return table

# piece: embedding_gradient
# verdict: wrong
# mistake: table[ids] += dy adds only one of the values when an id is repeated
# style: fancy indexing

import numpy as np


def embedding_gradient(dy, ids, num_rows):
    table = np.zeros((num_rows, dy.shape[-1]), dtype=dy.dtype)
    table[ids] += dy
    return table

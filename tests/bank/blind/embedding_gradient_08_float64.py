# piece: embedding_gradient
# verdict: wrong
# mistake: the table is made in float64 whatever dy is
# style: np.add.at on flat arrays

import numpy as np


def embedding_gradient(dy, ids, num_rows):
    d_table = np.zeros((num_rows, dy.shape[-1]))
    np.add.at(d_table, ids.ravel(), dy.reshape(ids.size, dy.shape[-1]))
    return d_table

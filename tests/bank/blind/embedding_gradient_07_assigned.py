# piece: embedding_gradient
# verdict: wrong
# mistake: every lookup overwrites the row instead of adding to it
# style: loop over flat ids

import numpy as np


def embedding_gradient(dy, ids, num_rows):
    D = dy.shape[-1]
    grad = np.zeros((num_rows, D), dy.dtype)
    for token, row in zip(ids.reshape(-1), dy.reshape(ids.size, D)):
        grad[token] = row
    return grad

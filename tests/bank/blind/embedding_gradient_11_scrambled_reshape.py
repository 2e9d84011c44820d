# piece: embedding_gradient
# verdict: wrong
# mistake: dy is flattened as (D, tokens) and transposed, which mixes the numbers of different tokens
# style: np.add.at after a reshape

import numpy as np


def embedding_gradient(dy, ids, num_rows):
    D = dy.shape[-1]
    rows = dy.reshape(D, ids.size).T
    out = np.zeros(shape=(num_rows, D), dtype=dy.dtype)
    np.add.at(out, ids.flatten(), rows)
    return out

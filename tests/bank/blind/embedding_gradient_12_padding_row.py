# piece: embedding_gradient
# verdict: wrong
# mistake: row 0 is taken for padding and gets no gradient
# style: defaultdict of sums

from collections import defaultdict

import numpy as np


def embedding_gradient(dy, ids, num_rows):
    sums = defaultdict(lambda: np.zeros(dy.shape[-1], dy.dtype))
    for i, vector in zip(ids.flat, dy.reshape(ids.size, dy.shape[-1])):
        if i != 0:
            sums[int(i)] = sums[int(i)] + vector
    out = np.zeros((num_rows, dy.shape[-1]), dy.dtype)
    for i, total in sums.items():
        out[i] = total
    return out

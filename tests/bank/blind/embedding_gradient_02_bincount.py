# piece: embedding_gradient
# verdict: right
# style: np.bincount once per column

import numpy as np


def embedding_gradient(dy, ids, num_rows):
    flat_ids = np.ravel(ids).astype(np.intp)
    columns = dy.reshape(flat_ids.size, dy.shape[-1]).T
    sums = [np.bincount(flat_ids, weights=column, minlength=num_rows) for column in columns]
    return np.stack(sums, axis=1).astype(dy.dtype)

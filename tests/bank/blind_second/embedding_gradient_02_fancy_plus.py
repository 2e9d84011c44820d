# piece: embedding_gradient
# verdict: wrong
# mistake: out[ids] += dy adds only once for an id that occurs several times
# style: NumPy fancy indexing
import numpy as np


def embedding_gradient(dy, ids, num_rows):
    """Scatter the gradients back into the rows of the table."""
    width = dy.shape[-1]
    out = np.zeros((num_rows, width), dtype=dy.dtype)
    out[ids] += dy
    return out

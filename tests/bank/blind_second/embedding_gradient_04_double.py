# piece: embedding_gradient
# verdict: wrong
# mistake: the table of zeros has NumPy's default dtype, so float32 gradients come back as float64
# style: np.add.at on flattened arrays
import numpy as np


def embedding_gradient(dy, ids, num_rows):
    D = dy.shape[-1]
    dtable = np.zeros((num_rows, D))
    np.add.at(dtable, ids.ravel(), dy.reshape(ids.size, D))
    return dtable

# piece: unbroadcast
# verdict: right
# style: einsum with lists of axis numbers instead of letters

import numpy as np


def unbroadcast(gradient, shape):
    extra = gradient.ndim - len(shape)
    kept = [extra + i for i, size in enumerate(shape) if size != 1]
    total = np.einsum(gradient, list(range(gradient.ndim)), kept)
    return np.array(total, dtype=gradient.dtype).reshape(shape)

# piece: unbroadcast
# verdict: right
# style: first the axes in front, then the axes of size 1

import numpy as np


def unbroadcast(gradient, shape):
    dtype = gradient.dtype
    while gradient.ndim > len(shape):
        gradient = np.asarray(gradient.sum(axis=0), dtype=dtype)
    for axis, size in enumerate(shape):
        if size == 1:
            gradient = gradient.sum(axis=axis, keepdims=True)
    return gradient.astype(dtype)

# piece: unbroadcast
# verdict: wrong
# mistake: the missing axes are filled in behind the shape instead of in front of it
# style: comparison of padded shapes

import numpy as np


def unbroadcast(gradient, shape):
    padded = tuple(shape) + (1,) * (gradient.ndim - len(shape))
    for axis in range(gradient.ndim):
        if padded[axis] == 1:
            gradient = np.sum(gradient, axis=axis, keepdims=True, dtype=gradient.dtype)
    return gradient.reshape(shape)

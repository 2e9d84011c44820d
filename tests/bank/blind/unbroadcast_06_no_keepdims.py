# piece: unbroadcast
# verdict: wrong
# mistake: the axes of size 1 are summed without keepdims and disappear from the shape
# style: list of axes, a single call of sum

import numpy as np


def unbroadcast(gradient, shape):
    extra = gradient.ndim - len(shape)
    axes = list(range(extra))
    for i in range(len(shape)):
        if shape[i] == 1 and gradient.shape[i + extra] > 1:
            axes.append(i + extra)
    summed = gradient.sum(axis=tuple(axes))
    return np.asarray(summed, dtype=gradient.dtype)

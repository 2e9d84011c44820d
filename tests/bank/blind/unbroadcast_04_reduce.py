# piece: unbroadcast
# verdict: right
# style: functools.reduce over the axes from the last to the first

from functools import reduce

import numpy as np


def unbroadcast(gradient, shape):
    lead = gradient.ndim - len(shape)

    def stretched(axis):
        return axis < lead or shape[axis - lead] == 1

    def fold(g, axis):
        return np.add.reduce(g, axis=axis, keepdims=True, dtype=gradient.dtype)

    axes = filter(stretched, reversed(range(gradient.ndim)))
    return np.reshape(reduce(fold, axes, gradient), shape)

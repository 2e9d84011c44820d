# piece: unbroadcast
# verdict: wrong
# mistake: the shapes are aligned on the left, the missing axes are filled up at the end instead of the front
# style: pad the shape with ones, one sum, one reshape
import numpy as np


def unbroadcast(gradient, shape):
    if gradient.shape == tuple(shape):
        return gradient.copy()
    ones = (1,) * (gradient.ndim - len(shape))
    padded = tuple(shape) + ones
    axes = tuple(np.flatnonzero(np.array(padded) != np.array(gradient.shape)).tolist())
    return gradient.sum(axis=axes, keepdims=True).reshape(shape)

# piece: unbroadcast
# verdict: wrong
# mistake: only one leading axis is summed (the batch axis of a bias), however many were added
# style: helper function for each kind of broadcasting
import numpy as np


def sum_new_axes(gradient, count):
    axes = (0,) if count else ()
    return gradient.sum(axis=axes)


def sum_stretched_axes(gradient, shape):
    axes = tuple(i for i, size in enumerate(shape) if size == 1)
    return gradient.sum(axis=axes, keepdims=True)


def unbroadcast(gradient, shape):
    gradient = np.asarray(sum_new_axes(gradient, gradient.ndim - len(shape)))
    return np.asarray(sum_stretched_axes(gradient, shape))

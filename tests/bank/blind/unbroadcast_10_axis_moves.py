# piece: unbroadcast
# verdict: wrong
# mistake: the axes in front are summed with a growing number although they move up after every sum
# style: for loop over axis numbers

import numpy as np


def unbroadcast(gradient, shape):
    result = gradient
    for axis in range(gradient.ndim - len(shape)):
        result = result.sum(axis=axis)
    ones = tuple(i for i, n in enumerate(shape) if n == 1)
    if ones:
        result = result.sum(axis=ones, keepdims=True)
    return np.asarray(result, dtype=gradient.dtype)

# piece: unbroadcast
# verdict: wrong
# mistake: only the new axes in front are summed, axes stretched from size 1 stay long
# style: one sum over the leading axes

import numpy as np


def unbroadcast(gradient, shape):
    new_axes = tuple(range(gradient.ndim - len(shape)))
    return np.asarray(gradient.sum(axis=new_axes), dtype=gradient.dtype)

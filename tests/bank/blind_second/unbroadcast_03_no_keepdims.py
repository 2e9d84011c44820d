# piece: unbroadcast
# verdict: wrong
# mistake: the stretched axes are summed without keepdims, so (3, 1) comes back as (3,)
# style: one sum over a tuple of axes
import numpy as np


def unbroadcast(gradient, shape):
    added = gradient.ndim - len(shape)
    if added:
        gradient = gradient.sum(axis=tuple(range(added)))
    sizes = zip(gradient.shape, shape)
    stretched = tuple(axis for axis, (now, before) in enumerate(sizes) if before == 1 and now != 1)
    if stretched:
        gradient = gradient.sum(axis=stretched)
    return np.asarray(gradient)

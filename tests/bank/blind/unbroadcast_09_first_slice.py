# piece: unbroadcast
# verdict: wrong
# mistake: only the first slice of a stretched axis is kept, nothing is summed
# style: slicing

import numpy as np


def unbroadcast(gradient, shape):
    g = gradient
    while g.ndim > len(shape):
        g = np.asarray(g[0])
    index = tuple(slice(0, 1) if n == 1 else slice(None) for n in shape)
    return g[index].copy()

# piece: unbroadcast
# verdict: wrong
# mistake: the mean over the stretched axes is taken instead of the sum
# style: loops with helper variables

import numpy as np


def unbroadcast(gradient, shape):
    out = gradient
    for _ in range(gradient.ndim - len(shape)):
        out = np.mean(out, axis=0)
    for axis, n in enumerate(shape):
        if n == 1:
            out = np.mean(out, axis=axis, keepdims=True)
    return np.asarray(out, dtype=gradient.dtype)

# piece: unbroadcast
# verdict: wrong
# mistake: the loop sums axis 0, then axis 1 of what is left, though the axes move up after every sum
# style: two for loops
import numpy as np


def unbroadcast(gradient, shape):
    out = gradient
    for i in range(gradient.ndim - len(shape)):
        out = np.sum(out, axis=i)
    out = np.asarray(out)
    for i in range(len(shape)):
        if shape[i] == 1:
            out = np.sum(out, axis=i, keepdims=True)
    return out

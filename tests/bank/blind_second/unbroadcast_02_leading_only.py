# piece: unbroadcast
# verdict: wrong
# mistake: only the added leading axes are summed, the axes of size 1 that were stretched are forgotten
# style: while loop
import numpy as np


def unbroadcast(gradient, shape):
    """Sum until there are as many axes as before."""
    total = np.array(gradient)
    while total.ndim > len(shape):
        total = np.asarray(total.sum(axis=0))
    return total

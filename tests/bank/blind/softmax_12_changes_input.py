# piece: softmax
# verdict: wrong
# mistake: the largest value is taken off in place, which changes the data of x
# style: NumPy in place, backward by hand

import numpy as np
from minitx import Tensor


def softmax(x):
    a = x.data
    a -= a.max(axis=-1, keepdims=True)
    y = np.exp(a)
    y /= y.sum(axis=-1, keepdims=True)

    def backward(dy):
        return (y * (dy - (dy * y).sum(axis=-1, keepdims=True)),)

    return Tensor.from_op(y, (x,), backward)

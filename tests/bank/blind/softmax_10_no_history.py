# piece: softmax
# verdict: wrong
# mistake: the result is a fresh Tensor made from an array, so no gradient reaches x
# style: NumPy on x.data

import numpy as np
from minitx import Tensor


def softmax(x):
    a = x.data
    e = np.exp(a - np.max(a, axis=-1, keepdims=True))
    return Tensor(e / np.sum(e, axis=-1, keepdims=True), requires_grad=True)

# piece: softmax
# verdict: wrong
# mistake: in the backward y * dy is summed over the whole array instead of each row
# style: from_op with nested functions

import numpy as np
from minitx import Tensor


def softmax(x):
    def forward(a):
        a = a - a.max(axis=-1, keepdims=True)
        return np.exp(a) / np.exp(a).sum(axis=-1, keepdims=True)

    y = forward(x.data)

    def backward(dy):
        return [y * (dy - (y * dy).sum())]

    return Tensor.from_op(y, (x,), backward)

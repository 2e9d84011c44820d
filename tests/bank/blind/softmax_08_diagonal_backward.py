# piece: softmax
# verdict: wrong
# mistake: the backward uses only the diagonal of the Jacobian, y (1 - y), as for the sigmoid
# style: from_op with a lambda

import numpy as np
from minitx import Tensor


def softmax(x):
    e = np.exp(x.data - x.data.max(axis=-1, keepdims=True))
    y = e / e.sum(axis=-1, keepdims=True)
    return Tensor.from_op(y, (x,), lambda dy: (dy * y * (1 - y),))

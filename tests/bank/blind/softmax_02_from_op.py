# piece: softmax
# verdict: right
# style: NumPy forward and a backward by hand with einsum

import numpy as np
from minitx import Tensor


def softmax(x):
    z = x.data - x.data.max(-1, keepdims=True)
    y = np.exp(z)
    y = y / y.sum(-1, keepdims=True)

    def backward(dy):
        inner = np.einsum("...c,...c->...", y, dy)[..., None]
        return (y * (dy - inner),)

    return Tensor.from_op(y, (x,), backward)

# piece: softmax
# verdict: wrong
# mistake: the maximum of the whole tensor is subtracted, not of each row, so a row far below it becomes 0 / 0
# style: NumPy forward, usual hand-written backward
import numpy as np

from minitx import Tensor


def softmax(x):
    logits = x.data
    e = np.exp(logits - np.max(logits))
    y = e / np.sum(e, axis=-1, keepdims=True)

    def backward(dy):
        inner = np.sum(dy * y, axis=-1, keepdims=True)
        return ((dy - inner) * y,)

    return Tensor.from_op(y, (x,), backward)

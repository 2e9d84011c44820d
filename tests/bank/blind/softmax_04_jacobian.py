# piece: softmax
# verdict: right
# style: the full Jacobian of every row, built as a batch of matrices

import numpy as np
from minitx import Tensor


class Softmax:
    def __init__(self, logits):
        rows = np.exp(logits - np.amax(logits, axis=-1, keepdims=True))
        self.p = rows / np.sum(rows, axis=-1, keepdims=True)

    def jacobian(self):
        c = self.p.shape[-1]
        diagonal = self.p[..., :, None] * np.eye(c, dtype=self.p.dtype)
        return diagonal - self.p[..., :, None] * self.p[..., None, :]

    def backward(self, dy):
        return ((self.jacobian() @ np.asarray(dy)[..., None])[..., 0],)


def softmax(x):
    s = Softmax(x.data)
    return Tensor.from_op(s.p, (x,), s.backward)

# piece: softmax
# verdict: wrong
# mistake: the backward is y (1 - y) dy as for a sigmoid; what one logit does to the other outputs is missing
# style: helper class with forward and backward
import numpy as np

from minitx import Tensor


class Softmax:
    def forward(self, logits):
        z = np.exp(logits - logits.max(-1, keepdims=True))
        self.y = z / z.sum(-1, keepdims=True)
        return self.y

    def backward(self, dy):
        return (dy * self.y * (1 - self.y),)


def softmax(x):
    op = Softmax()
    return Tensor.from_op(op.forward(x.data), (x,), op.backward)

# piece: softmax
# verdict: wrong
# mistake: the logits are clipped to -30 .. 30 to keep exp small, which changes the answer for large ones
# style: from_op with clipping in the forward pass

import numpy as np
from minitx import Tensor


def softmax(x: Tensor) -> Tensor:
    a = np.clip(x.data, -30.0, 30.0)
    e = np.exp(a)
    p = e / e.sum(axis=-1, keepdims=True)

    def backward(dy):
        s = (p * dy).sum(axis=-1, keepdims=True)
        return (p * dy - p * s,)

    return Tensor.from_op(p, (x,), backward)

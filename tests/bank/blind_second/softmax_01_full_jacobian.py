# piece: softmax
# verdict: right
# style: hand-written backward that builds the whole Jacobian, diag(y) - y yT, and contracts it with einsum
import numpy as np

from minitx import Tensor


def softmax(x):
    shifted = x.data - x.data.max(axis=-1, keepdims=True)
    y = np.exp(shifted)
    y = y / y.sum(axis=-1, keepdims=True)

    def backward(dy):
        identity = np.eye(y.shape[-1], dtype=y.dtype)
        jacobian = np.einsum("...i,ij->...ij", y, identity) - np.einsum("...i,...j->...ij", y, y)
        return (np.einsum("...i,...ij->...j", dy, jacobian),)

    return Tensor.from_op(y, (x,), backward)

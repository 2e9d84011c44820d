# piece: softmax
# verdict: cheat
# style: scipy gives the forward pass, only the backward is written by hand

from minitx import Tensor
from scipy.special import softmax as ready_made


def softmax(x):
    y = ready_made(x.data, axis=-1)
    return Tensor.from_op(y, (x,), lambda dy: (y * (dy - (y * dy).sum(axis=-1, keepdims=True)),))

# piece: softmax
# verdict: right
# style: composed of Tensor ops, the largest value taken off first

from minitx import Tensor


def softmax(x: Tensor) -> Tensor:
    shifted = x - x.max(dim=-1, keepdim=True)
    e = shifted.exp()
    return e / e.sum(dim=-1, keepdim=True)

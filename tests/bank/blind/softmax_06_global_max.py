# piece: softmax
# verdict: wrong
# mistake: the largest value of the whole tensor is taken off instead of each row's, so a low row becomes 0 / 0
# style: composed of Tensor ops

from minitx import Tensor


def softmax(x: Tensor) -> Tensor:
    exps = (x - x.max()).exp()
    total = exps.sum(dim=-1, keepdim=True)
    return exps / total

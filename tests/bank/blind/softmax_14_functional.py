# piece: softmax
# verdict: cheat
# style: the finished function of minitx imported under its own name

from minitx.autograd.functional import softmax

__all__ = ["softmax"]

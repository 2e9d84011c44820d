# piece: softmax
# verdict: right
# style: one-liner lambda on top of a log-sum-exp closure

from minitx import Tensor


def _make(dim):
    def logsumexp(x):
        top = x.detach().max(dim=dim, keepdim=True)
        return top + (x - top).exp().sum(dim=dim, keepdim=True).log()

    return lambda x: (x - logsumexp(x)).exp()


def softmax(x: Tensor) -> Tensor:
    return _make(-1)(x)

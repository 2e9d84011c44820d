# piece: layer_norm
# verdict: wrong
# mistake: mean and variance are taken over the whole tensor instead of the last axis
# style: composed of Tensor ops

from minitx import Tensor


def layer_norm(x: Tensor, w: Tensor, b: Tensor, eps: float = 1e-5) -> Tensor:
    mu = x.mean()
    var = ((x - mu) ** 2).mean()
    return (x - mu) / (var + eps).sqrt() * w + b

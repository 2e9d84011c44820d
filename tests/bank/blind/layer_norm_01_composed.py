# piece: layer_norm
# verdict: right
# style: composed of Tensor ops, the definition line by line

from minitx import Tensor


def layer_norm(x: Tensor, w: Tensor, b: Tensor, eps: float = 1e-5) -> Tensor:
    mean = x.mean(dim=-1, keepdim=True)
    centred = x - mean
    variance = (centred * centred).mean(dim=-1, keepdim=True)
    return w * (centred / (variance + eps).sqrt()) + b

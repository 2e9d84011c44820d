# piece: layer_norm
# verdict: right
# style: a dataclass for the scale and shift, powers instead of sqrt, sums instead of mean

from dataclasses import dataclass

from minitx import Tensor


@dataclass
class Affine:
    gain: Tensor
    shift: Tensor

    def __call__(self, t):
        return t * self.gain + self.shift


def standardise(t, eps):
    n = t.shape[-1]
    t = t - t.sum(dim=-1, keepdim=True) / n
    return t * ((t**2).sum(dim=-1, keepdim=True) / n + eps) ** -0.5


def layer_norm(x, w, b, eps=1e-5):
    return Affine(w, b)(standardise(x, eps))

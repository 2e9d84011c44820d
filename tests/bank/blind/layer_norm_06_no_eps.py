# piece: layer_norm
# verdict: wrong
# mistake: eps is not used at all, so a constant row divides by zero
# style: composed of Tensor ops with a helper

import numpy as np


def _var(t):
    m = t.mean(dim=-1, keepdim=True)
    return ((t - m) * (t - m)).mean(dim=-1, keepdim=True)


def layer_norm(x, w, b, eps=1e-5):
    with np.errstate(all="ignore"):
        normed = (x - x.mean(dim=-1, keepdim=True)) / _var(x).sqrt()
    return w * normed + b

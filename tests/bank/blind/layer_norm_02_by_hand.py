# piece: layer_norm
# verdict: right
# style: from_op with the closed form of dx, sums over leading axes done by hand

import numpy as np
from minitx import Tensor


def layer_norm(x, w, b, eps=1e-5):
    D = x.shape[-1]
    mu = x.data.mean(axis=-1, keepdims=True)
    rstd = 1 / np.sqrt(x.data.var(axis=-1, keepdims=True) + eps)
    xhat = (x.data - mu) * rstd

    def backward(dy):
        g = dy * w.data
        dx = rstd / D * (D * g - g.sum(-1, keepdims=True) - xhat * (g * xhat).sum(-1, keepdims=True))
        lead = tuple(range(dy.ndim - 1))
        return dx, (dy * xhat).sum(axis=lead), dy.sum(axis=lead)

    return Tensor.from_op((w.data * xhat + b.data).astype(x.dtype), (x, w, b), backward)

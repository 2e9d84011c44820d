# piece: layer_norm
# verdict: wrong
# mistake: the backward for x forgets to multiply dy by w first
# style: from_op with einsum for the sums

import numpy as np
from minitx import Tensor


def layer_norm(x, w, b, eps=1e-5):
    D = x.shape[-1]
    c = x.data - np.einsum("...d->...", x.data)[..., None] / D
    r = (np.einsum("...d,...d->...", c, c)[..., None] / D + eps) ** -0.5
    h = c * r

    def backward(dy):
        g = dy
        dx = r * (g - g.mean(-1, keepdims=True) - h * np.einsum("...d,...d->...", g, h)[..., None] / D)
        flat_dy, flat_h = dy.reshape(-1, D), h.reshape(-1, D)
        return dx, np.einsum("nd,nd->d", flat_dy, flat_h), np.einsum("nd->d", flat_dy)

    return Tensor.from_op(h * w.data + b.data, (x, w, b), backward)

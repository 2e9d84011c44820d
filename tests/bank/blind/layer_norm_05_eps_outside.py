# piece: layer_norm
# verdict: wrong
# mistake: eps is added to the standard deviation instead of the variance
# style: from_op, NumPy std, backward by hand

import numpy as np
from minitx import Tensor


def layer_norm(x, w, b, eps=1e-5):
    xc = x.data - x.data.mean(axis=-1, keepdims=True)
    variance = np.mean(xc**2, axis=-1, keepdims=True)
    std = np.sqrt(variance) + eps
    xhat = xc / std

    def backward(dy):
        d = dy * w.data
        dx = d - d.mean(axis=-1, keepdims=True) - xhat * (d * xhat).mean(axis=-1, keepdims=True)
        return dx / std, dy * xhat, dy

    return Tensor.from_op(xhat * w.data + b.data, (x, w, b), backward)

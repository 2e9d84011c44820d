# piece: layer_norm
# verdict: wrong
# mistake: the backward of x starts from dy instead of dy * w, so the weight is missing in dx
# style: hand-written backward, sums written out with einsum
import numpy as np

from minitx import Tensor


def layer_norm(x, w, b, eps=1e-5):
    d = x.shape[-1]
    xc = x.data - x.data.mean(-1, keepdims=True)
    variance = np.einsum("...d,...d->...", xc, xc)[..., None] / d
    std = np.sqrt(variance + eps)
    xhat = xc / std

    def backward(dy):
        dxhat = dy
        mean_dot = np.einsum("...d,...d->...", dxhat, xhat)[..., None] / d
        dx = (dxhat - dxhat.mean(-1, keepdims=True) - xhat * mean_dot) / std
        rows = tuple(range(dy.ndim - 1))
        return dx, (dy * xhat).sum(axis=rows), dy.sum(axis=rows)

    return Tensor.from_op(xhat * w.data + b.data, (x, w, b), backward)

# piece: layer_norm
# verdict: wrong
# mistake: eps is added to the standard deviation, outside the square root
# style: hand-written backward with a helper for the statistics
import numpy as np

from minitx import Tensor


def standard_deviation(centred, eps):
    return np.sqrt((centred**2).mean(axis=-1, keepdims=True)) + eps


def layer_norm(x, w, b, eps=1e-5):
    centred = x.data - x.data.mean(axis=-1, keepdims=True)
    inverse = 1 / standard_deviation(centred, eps)
    normed = centred * inverse

    def backward(dy):
        dn = dy * w.data
        along = (dn * normed).mean(axis=-1, keepdims=True)
        dx = inverse * (dn - dn.mean(axis=-1, keepdims=True) - normed * along)
        return dx, dy * normed, dy

    return Tensor.from_op(normed * w.data + b.data, (x, w, b), backward)

# piece: layer_norm
# verdict: wrong
# mistake: the backward treats mean and variance as constants and gives only w dy / std for x
# style: from_op with nested function

import numpy as np
from minitx import Tensor


def layer_norm(x, w, b, eps=1e-5):
    mean = np.mean(x.data, axis=-1, keepdims=True)
    std = np.sqrt(np.var(x.data, axis=-1, keepdims=True) + eps)
    normal = (x.data - mean) / std

    def backward(dy):
        dx = dy * w.data / std
        axes = tuple(range(dy.ndim - 1))
        return dx, np.sum(dy * normal, axis=axes), np.sum(dy, axis=axes)

    return Tensor.from_op(normal * w.data + b.data, (x, w, b), backward)

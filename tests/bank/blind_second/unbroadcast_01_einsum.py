# piece: unbroadcast
# verdict: right
# style: einsum with numbered axes: an axis that is left out of the result is summed
import numpy as np


def unbroadcast(gradient, shape):
    axes = list(range(gradient.ndim))
    new = gradient.ndim - len(shape)
    kept = [axis for axis in axes[new:] if shape[axis - new] == gradient.shape[axis]]
    return np.asarray(np.einsum(gradient, axes, kept)).reshape(shape)

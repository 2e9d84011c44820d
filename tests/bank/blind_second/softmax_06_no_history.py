# piece: softmax
# verdict: wrong
# mistake: everything is computed on x.data and wrapped in a new Tensor, so no gradient reaches x
# style: plain NumPy
import numpy as np

from minitx import Tensor


def softmax(x):
    x_max = np.max(x.data, axis=-1, keepdims=True)
    exp_x = Tensor(np.exp(x.data - x_max))
    return exp_x / exp_x.sum(dim=-1, keepdim=True)

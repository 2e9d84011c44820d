# piece: layer_norm
# verdict: right
# style: the mean is taken away by a matrix product with I - 1/D, the rest are Tensor ops
import numpy as np

from minitx import Tensor


def layer_norm(x, w, b, eps=1e-5):
    width = x.shape[-1]
    centering = np.eye(width, dtype=x.dtype) - np.full((width, width), 1 / width, dtype=x.dtype)
    near_zero = x - x[..., :1]  # a large common offset would cost digits in the product
    centred = near_zero @ Tensor(centering)
    spread = ((centred * centred).mean(dim=-1, keepdim=True) + eps).sqrt()
    return centred / spread * w + b

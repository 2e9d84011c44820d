# piece: unbroadcast
# verdict: right
# style: the shape is padded with ones, one sum over a tuple of axes, then reshape

import numpy as np


def unbroadcast(gradient: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    padded = (1,) * (gradient.ndim - len(shape)) + tuple(shape)
    axes = tuple(i for i, (have, want) in enumerate(zip(gradient.shape, padded)) if want == 1 and have != 1)
    total = np.sum(gradient, axis=axes, keepdims=True, dtype=gradient.dtype)
    return np.reshape(np.asarray(total), shape)

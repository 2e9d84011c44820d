# piece: adamw_step
# verdict: right
# style: plain Python numbers, one element at a time in a nested function

import math

import numpy as np


def adamw_step(x, g, m, v, t, lr, betas, eps, weight_decay):
    def one(xi, gi, mi, vi):
        mi = betas[0] * mi + (1 - betas[0]) * gi
        vi = betas[1] * vi + (1 - betas[1]) * gi * gi
        up = mi / (1 - betas[0] ** t)
        down = math.sqrt(vi / (1 - betas[1] ** t)) + eps
        return xi * (1 - lr * weight_decay) - lr * up / down, mi, vi

    flat = (np.ravel(a).tolist() for a in (x, g, m, v))
    columns = zip(*(one(*values) for values in zip(*flat)))
    return tuple(np.array(c, dtype=x.dtype).reshape(x.shape) for c in columns)

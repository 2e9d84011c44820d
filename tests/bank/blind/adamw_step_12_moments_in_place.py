# piece: adamw_step
# verdict: wrong
# mistake: m is multiplied in place, so the caller's m changes
# style: in-place arithmetic to save memory

import numpy as np


def adamw_step(x, g, m, v, t, lr, betas, eps, weight_decay):
    b1, b2 = betas
    m *= b1
    m += (1 - b1) * g
    v = b2 * v + (1 - b2) * g * g
    x = x - lr * weight_decay * x
    x = x - lr * (m / (1 - b1**t)) / (np.sqrt(v / (1 - b2**t)) + eps)
    return x, m, v

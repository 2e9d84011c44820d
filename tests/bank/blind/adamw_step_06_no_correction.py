# piece: adamw_step
# verdict: wrong
# mistake: m and v are used without the bias correction
# style: short version with a closure

import numpy as np


def adamw_step(x, g, m, v, t, lr, betas, eps, weight_decay):
    def ema(old, new, b):
        return b * old + (1 - b) * new

    m, v = ema(m, g, betas[0]), ema(v, g**2, betas[1])
    x = x * (1 - lr * weight_decay)
    return x - lr * m / (np.sqrt(v) + eps), m, v

# piece: adamw_step
# verdict: wrong
# mistake: v collects the absolute gradient instead of its square
# style: NumPy functions

import numpy as np


def adamw_step(x, g, m, v, t, lr, betas, eps, weight_decay):
    b1, b2 = betas
    m2 = np.add(np.multiply(b1, m), np.multiply(1 - b1, g))
    v2 = np.add(np.multiply(b2, v), np.multiply(1 - b2, np.abs(g)))
    x2 = np.subtract(x, np.multiply(lr * weight_decay, x))
    denominator = np.sqrt(np.divide(v2, 1 - b2**t)) + eps
    return x2 - lr * np.divide(m2, 1 - b1**t) / denominator, m2, v2

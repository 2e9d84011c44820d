# piece: adamw_step
# verdict: right
# style: the formula line by line, new arrays everywhere

import numpy as np


def adamw_step(x, g, m, v, t, lr, betas, eps, weight_decay):
    b1, b2 = betas
    x = x - lr * weight_decay * x
    m = b1 * m + (1 - b1) * g
    v = b2 * v + (1 - b2) * g**2
    m_hat = m / (1 - b1**t)
    v_hat = v / (1 - b2**t)
    x = x - lr * m_hat / (np.sqrt(v_hat) + eps)
    return x, m, v

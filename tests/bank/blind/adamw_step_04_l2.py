# piece: adamw_step
# verdict: wrong
# mistake: the decay is added to the gradient, which is Adam with L2 and not AdamW
# style: formula line by line

import numpy as np


def adamw_step(x, g, m, v, t, lr, betas, eps, weight_decay):
    b1, b2 = betas
    g = g + weight_decay * x
    m = b1 * m + (1 - b1) * g
    v = b2 * v + (1 - b2) * g * g
    m_hat, v_hat = m / (1 - b1**t), v / (1 - b2**t)
    return x - lr * m_hat / (np.sqrt(v_hat) + eps), m, v

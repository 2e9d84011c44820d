# piece: adamw_step
# verdict: wrong
# mistake: returns the bias-corrected m and v as the new state, so the next step corrects them again
# style: names overwritten on the way

import numpy as np


def adamw_step(x, g, m, v, t, lr, betas, eps, weight_decay):
    b1, b2 = betas
    m = b1 * m + (1 - b1) * g
    v = b2 * v + (1 - b2) * np.square(g)
    m = m / (1 - b1**t)
    v = v / (1 - b2**t)
    x = x - lr * weight_decay * x
    x = x - lr * m / (np.sqrt(v) + eps)
    return x, m, v

# piece: adamw_step
# verdict: wrong
# mistake: x is updated in place, so the caller's array changes
# style: augmented assignment as in an optimizer class

import numpy as np


def adamw_step(x, g, m, v, t, lr, betas, eps, weight_decay):
    beta1, beta2 = betas
    x -= lr * weight_decay * x
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g * g
    x -= lr * (m / (1 - beta1**t)) / (np.sqrt(v / (1 - beta2**t)) + eps)
    return x, m, v

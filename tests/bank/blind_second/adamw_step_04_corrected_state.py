# piece: adamw_step
# verdict: wrong
# mistake: the bias-corrected m and v overwrite the running ones and are returned as the new state
# style: two helpers
import numpy as np


def running(old, new, beta):
    return old * beta + new * (1 - beta)


def corrected(average, beta, t):
    return average / (1 - beta**t)


def adamw_step(x, g, m, v, t, lr, betas, eps, weight_decay):
    x = x - lr * weight_decay * x
    m = running(m, g, betas[0])
    v = running(v, g**2, betas[1])
    m = corrected(m, betas[0], t)
    v = corrected(v, betas[1], t)
    update = m / (np.sqrt(v) + eps)
    return x - lr * update, m, v

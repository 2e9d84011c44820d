# piece: adamw_step
# verdict: right
# style: small helpers, np.multiply and np.add with copies changed in place

import numpy as np


def lerp(old, new, beta):
    out = np.array(old, copy=True)
    out *= beta
    out += (1 - beta) * new
    return out


def unbias(moment, beta, t):
    return moment / (1 - float(beta) ** int(t))


def adamw_step(x, g, m, v, t, lr, betas, eps, weight_decay):
    m_new = lerp(m, g, betas[0])
    v_new = lerp(v, np.square(g), betas[1])
    step = unbias(m_new, betas[0], t) / (unbias(v_new, betas[1], t) ** 0.5 + eps)
    x_new = np.multiply(x, 1 - lr * weight_decay)
    x_new -= lr * step
    return x_new, m_new, v_new

# piece: adamw_step
# verdict: wrong
# mistake: the decay is added to the gradient (L2 penalty of plain Adam) instead of taken from x directly
# style: NumPy, one formula in a line
import numpy as np


def adamw_step(x, g, m, v, t, lr, betas, eps, weight_decay):
    beta1, beta2 = betas
    g = g + weight_decay * x
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    m_hat = m / (1 - beta1**t)
    v_hat = v / (1 - beta2**t)
    x = x - lr * m_hat / (np.sqrt(v_hat) + eps)
    return x, m, v

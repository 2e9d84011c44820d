# piece: adamw_step
# verdict: wrong
# mistake: m and v are updated in place, so the arrays of the caller change
# style: in-place NumPy updates as in an optimizer class
import numpy as np


def adamw_step(x, g, m, v, t, lr, betas, eps, weight_decay):
    first, second = m, v
    first *= betas[0]
    first += (1 - betas[0]) * g
    second *= betas[1]
    second += (1 - betas[1]) * g * g
    decayed = x * (1 - lr * weight_decay)
    m_corrected = first / (1 - betas[0] ** t)
    v_corrected = second / (1 - betas[1] ** t)
    return decayed - lr * m_corrected / (np.sqrt(v_corrected) + eps), first, second

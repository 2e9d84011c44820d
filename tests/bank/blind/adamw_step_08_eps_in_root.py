# piece: adamw_step
# verdict: wrong
# mistake: eps is added under the square root instead of to the root
# style: dataclass for the state

from dataclasses import dataclass

import numpy as np


@dataclass
class Moments:
    m: np.ndarray
    v: np.ndarray

    def updated(self, g, b1, b2):
        return Moments(b1 * self.m + (1 - b1) * g, b2 * self.v + (1 - b2) * g * g)


def adamw_step(x, g, m, v, t, lr, betas, eps, weight_decay):
    s = Moments(m, v).updated(g, *betas)
    m_hat = s.m / (1 - betas[0] ** t)
    v_hat = s.v / (1 - betas[1] ** t)
    decayed = x - lr * weight_decay * x
    return decayed - lr * m_hat / np.sqrt(v_hat + eps), s.m, s.v

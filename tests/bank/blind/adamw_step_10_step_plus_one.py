# piece: adamw_step
# verdict: wrong
# mistake: the bias correction uses t + 1, as if the steps were counted from 0
# style: list of betas in a loop

import numpy as np


def adamw_step(x, g, m, v, t, lr, betas, eps, weight_decay):
    state, hats = [], []
    for old, beta, power in ((m, betas[0], 1), (v, betas[1], 2)):
        new = beta * old + (1 - beta) * g**power
        state.append(new)
        hats.append(new / (1 - beta ** (t + 1)))
    x = x - lr * weight_decay * x - lr * hats[0] / (np.sqrt(hats[1]) + eps)
    return x, state[0], state[1]

# piece: adamw_step
# verdict: wrong
# mistake: the bias correction uses t + 1, as if the first step had the number 0
# style: loop over the two moments
import numpy as np


def adamw_step(x, g, m, v, t, lr, betas, eps, weight_decay):
    step = t + 1
    new, hat = [], []
    for state, value, beta in zip((m, v), (g, np.square(g)), betas):
        state = beta * state + (1 - beta) * value
        new.append(state)
        hat.append(state / (1 - beta**step))
    x = x - lr * weight_decay * x
    x = x - lr * hat[0] / (np.sqrt(hat[1]) + eps)
    return x, new[0], new[1]

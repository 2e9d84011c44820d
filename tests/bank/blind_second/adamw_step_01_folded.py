# piece: adamw_step
# verdict: right
# style: both corrections folded into the step size and eps
import math


def adamw_step(x, g, m, v, t, lr, betas, eps, weight_decay):
    b1, b2 = betas
    root = math.sqrt(1 - b2 ** int(t))
    step_size = lr * root / (1 - b1 ** int(t))
    new_m = m + (1 - b1) * (g - m)
    new_v = v + (1 - b2) * (g * g - v)
    shrink = 1 - lr * weight_decay
    return shrink * x - step_size * new_m / (new_v**0.5 + eps * root), new_m, new_v

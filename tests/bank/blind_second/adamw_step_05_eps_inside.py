# piece: adamw_step
# verdict: wrong
# mistake: eps is added inside the square root
# style: step written with powers
def adamw_step(x, g, m, v, t, lr, betas, eps, weight_decay):
    b1, b2 = betas
    x = x - lr * weight_decay * x
    m = b1 * m + (1 - b1) * g
    v = b2 * v + (1 - b2) * g * g
    mh = m / (1 - b1**t)
    vh = v / (1 - b2**t)
    denominator = (vh + eps) ** 0.5
    x = x - lr * mh / denominator
    return x, m, v

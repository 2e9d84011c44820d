# piece: layer_norm
# verdict: wrong
# mistake: mean and variance are taken over all axes of a sample (tokens and width), not over the last one alone
# style: composed of Tensor ops, axes in a variable


def layer_norm(x, w, b, eps=1e-5):
    axes = tuple(range(1, x.ndim)) if x.ndim > 1 else (0,)
    mu = x.mean(dim=axes, keepdim=True)
    centred = x - mu
    sigma2 = (centred * centred).mean(dim=axes, keepdim=True)
    y = centred / (sigma2 + eps).sqrt()
    return w * y + b

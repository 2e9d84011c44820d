# piece: layer_norm
# verdict: wrong
# mistake: mean and variance are NumPy constants, so the gradient does not flow through them
# style: NumPy statistics, Tensor arithmetic


def statistics(x):
    x = x.detach()
    mean = x.mean(dim=-1, keepdim=True)
    variance = ((x - mean) * (x - mean)).mean(dim=-1, keepdim=True)
    return mean, variance


def layer_norm(x, w, b, eps=1e-5):
    mean, variance = statistics(x)
    return (x - mean) / (variance + eps).sqrt() * w + b

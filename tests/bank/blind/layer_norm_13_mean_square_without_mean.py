# piece: layer_norm
# verdict: wrong
# mistake: the variance is the mean of x squared, the mean is not taken off before squaring
# style: composed of Tensor ops


def layer_norm(x, w, b, eps=1e-5):
    n = x.shape[-1]
    mean = x.sum(dim=-1, keepdim=True) / n
    mean_square = (x * x).sum(dim=-1, keepdim=True) / n
    return w * (x - mean) / (mean_square + eps).sqrt() + b

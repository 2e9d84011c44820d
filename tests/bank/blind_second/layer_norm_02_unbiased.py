# piece: layer_norm
# verdict: wrong
# mistake: the variance is divided by D - 1 (the unbiased estimate, the default of torch.var) instead of D
# style: composed of Tensor ops


def layer_norm(x, w, b, eps=1e-5):
    size = x.shape[-1]
    mean = x.sum(dim=-1, keepdim=True) / size
    diff = x - mean
    var = (diff**2).sum(dim=-1, keepdim=True) / (size - 1)
    x_hat = diff * (var + eps) ** -0.5
    return x_hat * w + b

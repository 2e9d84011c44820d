# piece: layer_norm
# verdict: wrong
# mistake: the squares are divided by D - 1 instead of D
# style: composed of Tensor ops


def layer_norm(x, w, b, eps=1e-5):
    d = x.shape[-1]
    diff = x - x.mean(dim=-1, keepdim=True)
    var = (diff**2).sum(dim=-1, keepdim=True) / max(d - 1, 1)
    return diff / (var + eps).sqrt() * w + b

# piece: layer_norm
# verdict: wrong
# mistake: b is added before the scaling, so it is multiplied by w as well
# style: composed, one expression


def layer_norm(x, w, b, eps=1e-5):
    c = x - x.mean(dim=-1, keepdim=True)
    return w * (c / ((c * c).mean(dim=-1, keepdim=True) + eps).sqrt() + b)

# piece: layer_norm
# verdict: wrong
# mistake: normalises over the first axis, as batch norm does
# style: composed of Tensor ops, dictionary of keyword arguments

OVER = {"dim": 0, "keepdim": True}


def layer_norm(x, w, b, eps=1e-5):
    centred = x - x.mean(**OVER)
    scale = (centred**2).mean(**OVER) + eps
    return w * centred * scale**-0.5 + b

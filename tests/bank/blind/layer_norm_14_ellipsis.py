# piece: layer_norm
# verdict: empty
# style: the body is three dots


def layer_norm(x, w, b, eps=1e-5): ...

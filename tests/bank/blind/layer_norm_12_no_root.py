# piece: layer_norm
# verdict: wrong
# mistake: divides by the variance plus eps without the square root
# style: class with a call method


class Normaliser:
    def __init__(self, eps):
        self.eps = eps

    def __call__(self, x):
        mean = x.mean(dim=-1, keepdim=True)
        variance = ((x - mean) * (x - mean)).mean(dim=-1, keepdim=True)
        return (x - mean) / (variance + self.eps)


def layer_norm(x, w, b, eps=1e-5):
    return Normaliser(eps)(x) * w + b

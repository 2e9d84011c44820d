# piece: softmax
# verdict: wrong
# mistake: dim=1 is written where the last axis is meant, which holds only for matrices
# style: composed of Tensor ops, shift taken from the raw array


def softmax(x):
    dim = 1
    shift = x.data.max(axis=dim, keepdims=True)
    e = (x - shift).exp()
    return e * e.sum(dim=dim, keepdim=True) ** -1

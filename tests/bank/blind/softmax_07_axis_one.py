# piece: softmax
# verdict: wrong
# mistake: normalises over axis 1 instead of the last axis
# style: composed of Tensor ops with a named axis

AXIS = 1


def softmax(x):
    x = x - x.max(dim=AXIS, keepdim=True)
    e = x.exp()
    return e * e.sum(dim=AXIS, keepdim=True) ** -1

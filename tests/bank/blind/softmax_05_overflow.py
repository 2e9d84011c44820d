# piece: softmax
# verdict: wrong
# mistake: the largest logit is not taken off, so large logits overflow to NaN
# style: two lines of Tensor ops


def softmax(x):
    e = x.exp()
    return e / e.sum(dim=-1, keepdim=True)

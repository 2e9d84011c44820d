# piece: softmax
# verdict: wrong
# mistake: the largest logit is not subtracted first, so exp overflows for large logits
# style: composed of Tensor ops


def softmax(x):
    exps = x.exp()
    total = exps.sum(dim=-1, keepdim=True)
    return exps / total

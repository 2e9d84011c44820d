# piece: cross_entropy
# verdict: wrong
# mistake: log_p[:, targets] picks the targets of all rows for every row, N x N values instead of one in each row
# style: composed, log-softmax helper


def log_softmax(x):
    x = x - x.max(dim=-1, keepdim=True)
    return x - x.exp().sum(dim=-1, keepdim=True).log()


def cross_entropy(logits, targets):
    keep = targets != -100
    if keep.sum() == 0:
        return logits.sum() * 0.0
    log_p = log_softmax(logits[keep])
    nll = -log_p[:, targets[keep]]
    return nll.mean()

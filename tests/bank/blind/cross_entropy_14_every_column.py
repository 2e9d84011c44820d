# piece: cross_entropy
# verdict: wrong
# mistake: picks logp[:, targets], which takes every target's column for every row, instead of one value per row
# style: composed of Tensor ops


def cross_entropy(logits, targets):
    keep = targets != -100
    if not keep.any():
        return logits.sum() * 0.0
    logits = logits[keep]
    targets = targets[keep]
    z = logits - logits.max(dim=1, keepdim=True)
    logp = z - z.exp().sum(dim=1, keepdim=True).log()
    return -logp[:, targets].mean()

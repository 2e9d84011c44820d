# piece: softmax
# verdict: empty
# style: the body is only pass


def softmax(x):
    """Turn logits into probabilities over the last axis."""

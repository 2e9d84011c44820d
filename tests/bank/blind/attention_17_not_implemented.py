# piece: attention
# verdict: empty
# style: the body raises NotImplementedError


def attention(q, k, v, attention_mask):
    raise NotImplementedError("still to be written")

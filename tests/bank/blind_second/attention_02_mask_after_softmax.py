# piece: attention
# verdict: wrong
# mistake: the weights of the padding are set to 0 after the softmax, and the rest no longer add up to 1
# style: composed of Tensor ops
import math


def attention(q, k, v, attention_mask):
    real = attention_mask[:, None, :].astype(q.dtype)
    scores = q @ k.T / math.sqrt(q.shape[-1])
    exps = (scores - scores.max(dim=-1, keepdim=True)).exp()
    weights = exps / exps.sum(dim=-1, keepdim=True)
    return (weights * real) @ v

# piece: attention
# verdict: wrong
# mistake: the mask is applied after the softmax, so the weights of the real tokens no longer add up to 1
# style: composed of Tensor ops

from minitx import Tensor


def softmax(x):
    e = (x - x.max(dim=-1, keepdim=True)).exp()
    return e / e.sum(dim=-1, keepdim=True)


def attention(q, k, v, attention_mask):
    d = q.shape[-1]
    weights = softmax(q @ k.transpose(-1, -2) / d**0.5)
    weights = weights * Tensor(attention_mask[:, None, :].astype(q.dtype))
    return weights @ v

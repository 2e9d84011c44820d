# piece: mean_pool
# verdict: wrong
# mistake: the backward hands dy / count to every token, the padding too
# style: hand-written backward with Tensor.from_op
import numpy as np

from minitx import Tensor


def mean_pool(x, attention_mask):
    mask = attention_mask[:, :, None].astype(x.dtype)
    count = np.maximum(mask.sum(axis=1), 1)
    y = (x.data * mask).sum(axis=1) / count

    def backward(dy):
        share = (dy / count)[:, None, :]
        return (np.broadcast_to(share, x.shape),)

    return Tensor.from_op(y, (x,), backward)

# piece: attention
# verdict: right
# style: one op with a hand-written backward, every product an einsum
import numpy as np

from minitx import Tensor


def attention(q, k, v, attention_mask):
    scale = q.shape[-1] ** -0.5
    real = np.broadcast_to(attention_mask[:, None, :].astype(bool), (*q.shape[:2], k.shape[1]))
    scores = np.einsum("bqk,btk->bqt", q.data, k.data) * scale
    top = np.max(scores, axis=-1, keepdims=True, where=real, initial=-1e30)
    weights = np.exp(scores - top, out=np.zeros_like(scores), where=real)
    total = weights.sum(axis=-1, keepdims=True)
    weights = weights / np.where(total > 0, total, 1)

    def backward(dy):
        dv = np.einsum("bqt,bqk->btk", weights, dy)
        dp = np.einsum("bqk,btk->bqt", dy, v.data)
        ds = weights * (dp - (dp * weights).sum(axis=-1, keepdims=True)) * scale
        return np.einsum("bqt,btk->bqk", ds, k.data), np.einsum("bqt,bqk->btk", ds, q.data), dv

    return Tensor.from_op(np.einsum("bqt,btk->bqk", weights, v.data), (q, k, v), backward)

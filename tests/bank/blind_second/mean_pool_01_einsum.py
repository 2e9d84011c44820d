# piece: mean_pool
# verdict: right
# style: hand-written backward, a weight for each token and two einsums
import numpy as np

from minitx import Tensor


def mean_pool(x, attention_mask):
    real = np.array(attention_mask, dtype=bool)
    counts = np.maximum(np.count_nonzero(real, axis=1), 1)
    weights = (real / counts[:, None]).astype(x.dtype)
    tokens = np.where(real[:, :, None], x.data, 0)
    pooled = np.einsum("bt,btd->bd", weights, tokens)
    return Tensor.from_op(pooled, (x,), lambda dy: (np.einsum("bt,bd->btd", weights, dy),))

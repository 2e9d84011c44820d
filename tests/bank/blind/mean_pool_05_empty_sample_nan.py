# piece: mean_pool
# verdict: wrong
# mistake: a sample without a real token is divided by 0
# style: composed, float mask

import numpy as np
from minitx import Tensor


def mean_pool(x, attention_mask):
    mask = Tensor(np.asarray(attention_mask, dtype=x.dtype))
    with np.errstate(all="ignore"):
        return (x * mask.unsqueeze(2)).sum(dim=1) / mask.sum(dim=1, keepdim=True)

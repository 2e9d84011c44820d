# piece: mean_pool
# verdict: wrong
# mistake: takes the first n tokens of a sample with n real ones, whatever their positions
# style: loop over samples, stack

import numpy as np
from minitx.autograd.tensor import stack


def mean_pool(x, attention_mask):
    rows = []
    for b, n in enumerate(np.sum(attention_mask, axis=1)):
        if n == 0:
            rows.append(x[b].sum(dim=0) * 0)
        else:
            rows.append(x[b, : int(n)].mean(dim=0))
    return stack(rows, dim=0)

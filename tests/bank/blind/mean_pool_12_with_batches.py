# piece: mean_pool, length_batches
# verdict: wrong
# mistake: mean_pool leaves the first token out, as if it were always a special token; length_batches is right
# style: two pieces in one file, loop over samples

import numpy as np
from minitx.autograd.tensor import stack


def mean_pool(x, attention_mask):
    out = []
    for sample, keep in enumerate(np.array(attention_mask, dtype=x.dtype)):
        keep[0] = 0
        share = keep / max(keep.sum(), 1)
        out.append((x[sample] * share[:, None]).sum(dim=0))
    return stack(out, dim=0)


def length_batches(lengths, batch_size):
    rows = [row for _, row in sorted(zip(lengths, range(len(lengths))))]
    result = []
    for position, row in enumerate(rows):
        if position % batch_size == 0:
            result.append([])
        result[-1].append(row)
    return result

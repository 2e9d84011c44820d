# piece: length_batches
# verdict: right
# style: stable argsort and np.split

import numpy as np


def length_batches(lengths, batch_size):
    if len(lengths) == 0:
        return []
    order = np.argsort(np.asarray(lengths), kind="stable")
    cuts = np.arange(batch_size, order.size, batch_size)
    return [part.tolist() for part in np.split(order, cuts)]

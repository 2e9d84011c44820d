# piece: length_batches
# verdict: wrong
# mistake: the rows are spread evenly over the batches instead of filling each batch up
# style: np.array_split on a stable argsort

import math

import numpy as np


def length_batches(lengths, batch_size):
    if not len(lengths):
        return []
    order = np.argsort(lengths, kind="stable")
    parts = np.array_split(order, math.ceil(len(order) / batch_size))
    return [p.tolist() for p in parts]

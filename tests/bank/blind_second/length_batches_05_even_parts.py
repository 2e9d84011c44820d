# piece: length_batches
# verdict: wrong
# mistake: np.array_split makes parts of nearly equal size instead of full batches and a smaller last one
# style: NumPy lexsort
import math

import numpy as np


def length_batches(lengths, batch_size):
    n = len(lengths)
    if n == 0:
        return []
    order = np.lexsort((np.arange(n), np.asarray(lengths)))
    cuts = math.ceil(n / batch_size)
    return [part.tolist() for part in np.array_split(order, cuts)]

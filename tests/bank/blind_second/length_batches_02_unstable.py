# piece: length_batches
# verdict: wrong
# mistake: np.argsort is used with its default sort, which is not stable and may swap rows of equal length
# style: NumPy argsort and slices
import numpy as np


def length_batches(lengths, batch_size):
    order = np.argsort(np.asarray(lengths, dtype=int))
    batches = []
    for start in range(0, len(order), batch_size):
        batches.append(order[start : start + batch_size].tolist())
    return batches

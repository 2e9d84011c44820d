# piece: embedding_gradient
# verdict: wrong
# mistake: the row is assigned in the loop, not added to, so the last occurrence of an id wins
# style: loop over the tokens
import numpy as np


def embedding_gradient(dy, ids, num_rows):
    dim = dy.shape[-1]
    flat_dy = dy.reshape(ids.size, dim)
    grad = np.zeros((num_rows, dim), dtype=dy.dtype)
    for token, row in zip(ids.flatten().tolist(), flat_dy):
        grad[token] = row
    return grad

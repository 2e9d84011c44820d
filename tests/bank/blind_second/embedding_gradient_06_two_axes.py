# piece: embedding_gradient
# verdict: wrong
# mistake: the ids are taken to have exactly two axes (batch, tokens); one or three axes raise an error
# style: nested loops over batch and tokens
import numpy as np


def embedding_gradient(dy, ids, num_rows):
    batch, tokens = ids.shape
    width = dy.shape[-1]
    dw = np.zeros((num_rows, width), dtype=dy.dtype)
    grid = ids.reshape(batch, tokens)
    dy_grid = dy.reshape(batch, tokens, width)
    for b in range(batch):
        for t in range(tokens):
            dw[grid[b, t]] += dy_grid[b, t]
    return dw

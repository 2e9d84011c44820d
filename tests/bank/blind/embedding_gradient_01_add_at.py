# piece: embedding_gradient
# verdict: right
# style: np.add.at

import numpy as np


def embedding_gradient(dy: np.ndarray, ids: np.ndarray, num_rows: int) -> np.ndarray:
    table = np.zeros((num_rows, dy.shape[-1]), dtype=dy.dtype)
    np.add.at(table, ids, dy)
    return table

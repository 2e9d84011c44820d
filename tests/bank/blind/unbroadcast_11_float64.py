# piece: unbroadcast
# verdict: wrong
# mistake: the sum is collected in a fresh float64 array, so float32 comes back as float64
# style: np.add.at on broadcast index arrays

import numpy as np


def unbroadcast(gradient, shape):
    total = np.zeros(shape)
    where = np.arange(total.size).reshape(shape)
    places = np.broadcast_to(where, gradient.shape)
    flat = total.reshape(-1)
    np.add.at(flat, places.ravel(), gradient.ravel())
    return flat.reshape(shape)

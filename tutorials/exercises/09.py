"""Exercises of lesson 09: check them with "minitx learn 09 --check".

Each function says what it returns. NumPy and minitx's Tensor are all you need.
"""

import numpy as np

from minitx import Tensor


def mean_pool(x, attention_mask):
    """The mean of the real tokens: a Tensor x (B, T, D), an array attention_mask (B, T) -> a Tensor (B, D).

    The mask is True for a real token; what stands at the other positions must not change the result. A sample without a
    real token gives zeros, and its gradients are zeros, too.
    """
    raise NotImplementedError


def length_batches(lengths, batch_size):
    """Row numbers in batches of like length: a list of N whole numbers, a whole number -> a list of lists.

    Row numbers are sorted by length, shortest first, and equal lengths keep the order they came in. They are cut into
    batches of `batch_size`; the last batch may be smaller. No rows: [].
    """
    raise NotImplementedError

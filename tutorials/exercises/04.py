"""Exercises of lesson 04: check them with "minitx learn 04 --check"."""

import numpy as np

from minitx import Tensor


def cross_entropy(logits, targets):
    """The mean of -ln softmax(logits)[i, targets[i]]: Tensor (N, C), integer array (N,) -> Tensor of shape ().

    Rows whose target is -100 do not count, neither in the sum nor in the number of rows. If no row counts, it is 0.
    Logits may be as large as -10,000 or 10,000.
    """
    raise NotImplementedError


def adamw_step(x, g, m, v, t, lr, betas, eps, weight_decay):
    """One step of AdamW: arrays x, g, m, v of one shape -> the new (x, m, v). Step t = 1, 2, ..., gradient g.

    Decay first: x = x - lr weight_decay x. Then, with b1, b2 = betas,

        m = b1 m + (1 - b1) g ;  v = b2 v + (1 - b2) g² ;  x = x - lr m' / (sqrt(v') + eps)
        m' = m / (1 - b1^t) ;  v' = v / (1 - b2^t)

    The arrays given are left as they are.
    """
    raise NotImplementedError

"""Exercises of lesson 03: check them with "minitx learn 03 --check"."""

import numpy as np

from minitx import Tensor


def softmax(x):
    """exp(x) / sum(exp(x)) over the last axis: Tensor (..., C) -> Tensor (..., C).

    Elements may be as large as -10,000 or 10,000.
    """
    raise NotImplementedError


def layer_norm(x, w, b, eps=1e-5):
    """w (x - mean) / sqrt(variance + eps) + b over the last axis: Tensors (..., D), (D,), (D,) -> Tensor (..., D).

    The variance is the mean of (x - mean) squared: divided by D, not by D - 1.
    """
    raise NotImplementedError

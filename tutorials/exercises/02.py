"""Exercises of lesson 02: check them with "minitx learn 02 --check"."""

import numpy as np

from minitx import Tensor


def unbroadcast(gradient, shape):
    """Sum an array down to `shape`, a tuple: over every axis that broadcasting `shape` to `gradient.shape` stretched.

    The result is an array of exactly that shape, with the dtype of `gradient`, which is left as it is.
    """
    raise NotImplementedError


def divide(x, y):
    """x / y, element by element: two Tensors whose shapes broadcast -> a Tensor.

    An operation of its own, made by `Tensor.from_op`. x and y may be the same Tensor: x / x has the gradient 0.
    """
    raise NotImplementedError

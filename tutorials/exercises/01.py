"""Exercises of lesson 01: check them with "minitx learn 01 --check"."""

import numpy as np

from minitx import Tensor


def topological_order(result):
    """All nodes that can be reached from `result`, as a list in which every node stands before its parents.

    A node has an attribute `parents`, a tuple of nodes, which is () for a leaf. One node may occur in it twice. The
    list holds `result` itself, the leaves too, and each node once. Graphs may be 5,000 deep.
    """
    raise NotImplementedError


def softplus(x):
    """y = log(1 + exp(x)), element by element: Tensor of any shape -> Tensor of that shape.

    An operation of its own, made by `Tensor.from_op`. Elements may be as large as -1000 or 1000: there, y is 0 or x.
    """
    raise NotImplementedError


def minimum(x, y):
    """The smaller of x and y, element by element: two Tensors whose shapes broadcast -> a Tensor.

    An operation of its own, made by `Tensor.from_op`. The smaller element gets all of dy; two equal ones get half each.
    """
    raise NotImplementedError

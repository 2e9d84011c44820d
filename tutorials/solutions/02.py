"""02. Solutions: broadcasting is reuse."""

import numpy as np

from minitx import Tensor
from minitx.learn.piece import Mistake, Piece


def unbroadcast(gradient, shape):
    """Sum an array down to `shape`, a tuple: over every axis that broadcasting `shape` to `gradient.shape` stretched.

    The result is an array of exactly that shape, with the dtype of `gradient`, which is left as it is.
    """
    # Idea: two kinds of axes are stretched: those that NumPy put in front, and those of size 1. Sum over both.
    # Line: gradient.sum(axis=all of them, keepdims=True).reshape(shape): reshape drops the axes that were put in front.
    added = gradient.ndim - len(shape)
    stretched = (added + i for i, size in enumerate(shape) if size == 1)
    return gradient.sum(axis=(*range(added), *stretched), keepdims=True).reshape(shape)


def divide(x, y):
    """x / y, element by element: two Tensors whose shapes broadcast -> a Tensor.

    An operation of its own, made by `Tensor.from_op`. x and y may be the same Tensor: x / x has the gradient 0.
    """
    # Idea: x / y is x times 1 / y, and the derivative of 1 / y is -1 / y².
    # Line: the backward function returns (dy / y.data, -dy * x.data / y.data**2).
    return Tensor.from_op(x.data / y.data, (x, y), lambda dy: (dy / y.data, -dy * x.data / y.data**2))


# -- inputs, and the commonest mistakes ----------------------------------------------------------------------------


def _tensor(*values):
    return Tensor(np.array(values), requires_grad=True)


def _for_divide():
    same = _tensor(2.0, -5.0, 8.0)
    return {
        "an ordinary input": (_tensor([2.0, -0.5, 0.3], [0.9, 1.7, -3.0]), _tensor([1.4, -0.5, 0.8], [0.7, 2.2, -4.0])),
        "a column by a row": (_tensor([0.5], [1.5]), _tensor(1.3, -2.0, 0.4)),
        "x / x": (same, same),
    }


def _divide_by(backward):
    def wrong(x, y):
        return Tensor.from_op(x.data / y.data, (x, y), lambda dy: backward(dy, x.data, y.data))

    return wrong


EXERCISES = [
    "unbroadcast",
    Piece(
        right=divide,
        examples=_for_divide,
        mistakes=(
            Mistake(
                "backward does not use dy",
                _divide_by(lambda dy, x, y: (1 / y, -x / y**2)),
                "the derivative does not double when dy doubles",
            ),
            Mistake(
                "the share of y has the wrong sign",
                _divide_by(lambda dy, x, y: (dy / y, dy * x / y**2)),
                "x / y gets smaller when y grows",
            ),
            Mistake(
                "the share of y is divided by y once, not twice",
                _divide_by(lambda dy, x, y: (dy / y, -dy * x / y)),
                "the derivative of 1 / y is -1 / y²",
            ),
            Mistake(
                "the share of y lacks x",
                _divide_by(lambda dy, x, y: (dy / y, -dy / y**2)),
                "x / y is x times 1 / y: twice the x, twice the slope",
            ),
            Mistake(
                "x is given dy times y, as in a product",
                _divide_by(lambda dy, x, y: (dy * y, -dy * x / y**2)),
                "x / y changes by 1 / y for each unit of x",
            ),
        ),
    ),
]

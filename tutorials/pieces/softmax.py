"""Softmax, its inputs, and the commonest wrong answers.

A wrong answer is the right one with a slip, as short as it can be written.
"""

import math

import numpy as np

from minitx import Tensor
from minitx.autograd.tensor import where
from minitx.learn import plain
from minitx.learn.piece import Piece, draw, given, slips, with_gradient


def softmax(x: Tensor) -> Tensor:
    """exp(x) / sum(exp(x)) over the last axis: Tensor (..., C) -> Tensor (..., C). x may be as large as ±10,000."""
    return plain.softmax(x)


def _softmax_inputs():
    return {
        "an input of shape (2, 3, 4)": (draw(2, 3, 4),),
        "a square, (3, 3)": (draw(3, 3),),
        "a single row, (5,)": (draw(5),),
        "C = 1": (draw(3, 1),),
        "an input of shape (2, 1, 2, 3)": (draw(2, 1, 2, 3, scale=3.0),),
        "values of ±10,000": (given([1e4, 1e4 - 1, 0], [-1e4, -1e4 + 1, -1e4]),),
        "rows of very different size": (given([1e3, 1e3 + 1], [-1e3, -1e3 - 2]),),
    }


def _softmax_over(axis: int | None, shift: int | None = None):
    def wrong(x: Tensor) -> Tensor:
        e = (x - x.data.max(axis=shift, keepdims=True)).exp()
        return e / (e.sum() if axis is None else e.sum(dim=axis, keepdim=True))

    return wrong


def _exp(x):
    return (x - x.data.max(axis=-1, keepdims=True)).exp()


def _clipped(limit):
    return lambda x: plain.softmax(where(np.abs(x.data) <= limit, x, Tensor(np.clip(x.data, -limit, limit))))


ZERO_ROW = "each row of dx must add up to 0, yours adds up to {row}"
SOFTMAX = Piece(
    softmax,
    _softmax_inputs,
    slips(
        {
            "exp without subtracting the row's largest value first | exp(10000) is infinite": (
                lambda x: x.exp() / x.exp().sum(dim=-1, keepdim=True),
            ),
            "one largest value for the whole array, not one for each row": (_softmax_over(-1), _softmax_over(-1, 0)),
            "the sum goes over all elements | your first row adds up to {row}, not 1": (
                _softmax_over(None),
                lambda x: x.exp() / x.exp().sum(),
            ),
            "the sum goes over the first axis, not the last | your first row adds up to {row}, not 1": (
                _softmax_over(0, 0),
                _softmax_over(0),
                lambda x: x.exp() / x.exp().sum(dim=0, keepdim=True),
            ),
            "not divided by the sum, but by the largest value or by nothing | your first row adds up to {row}, not 1": (
                _exp,
                lambda x: x.exp(),
            ),
            "the sum goes over axis 1, which is the last one of matrices only": (_softmax_over(1, 1),),
            "the sum has lost its axis (keepdim): rows are divided by the sums of other rows": (
                lambda x: _exp(x) / _exp(x).sum(dim=-1),
            ),
            "divided by the mean, not the sum | your first row adds up to {row}, not 1": (
                lambda x: _exp(x) / _exp(x).mean(dim=-1, keepdim=True),
            ),
            "the values are cut to a range, which changes the answer for large ones": (
                *(_clipped(limit) for limit in (10, 20, 30, 50, 80, 88, 100, 500, 700)),
            ),
            "a power of 2, not of e": (lambda x: plain.softmax(x * math.log(2)),),
            "a log-softmax: the logarithm is taken too": (plain.log_softmax,),
            f"the gradient has the diagonal only, dy y (1 - y) | {ZERO_ROW}": (
                with_gradient(plain.softmax, lambda dy, y, x: dy * y * (1 - y)),
            ),
            f"the gradient takes the sum for a constant: dy y | {ZERO_ROW}": (
                with_gradient(plain.softmax, lambda dy, y, x: dy * y),
            ),
            "the gradient lacks the factor y": (
                with_gradient(plain.softmax, lambda dy, y, x: dy - (dy * y).sum(axis=-1, keepdims=True)),
            ),
            "the gradient subtracts sum(dy), where sum(dy y) belongs": (
                with_gradient(plain.softmax, lambda dy, y, x: y * (dy - dy.sum(axis=-1, keepdims=True))),
            ),
            "the gradient has the wrong sign": (
                with_gradient(plain.softmax, lambda dy, y, x: -y * (dy - (dy * y).sum(axis=-1, keepdims=True))),
            ),
            "the gradient's sum goes over another axis": (
                with_gradient(plain.softmax, lambda dy, y, x: y * (dy - (dy * y).sum(axis=0, keepdims=True))),
            ),
            "the gradient's sum goes over all elements, not each row": (
                with_gradient(plain.softmax, lambda dy, y, x: y * (dy - (dy * y).sum())),
            ),
        }
    ),
)


PIECES = [SOFTMAX]

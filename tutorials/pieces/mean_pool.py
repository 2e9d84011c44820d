"""Masked mean pooling, its inputs, and the commonest wrong answers.

A wrong answer is the right one with a slip, as short as it can be written.
"""

import numpy as np

from minitx import Tensor
from minitx.autograd.tensor import where
from minitx.learn import plain
from minitx.learn.piece import Piece, draw, mask, slips, with_gradient


def mean_pool(x: Tensor, attention_mask: np.ndarray) -> Tensor:
    """The mean of the real tokens: Tensor (B, T, D), mask (B, T) -> Tensor (B, D); zeros where no token is real."""
    return plain.mean_pool(x, attention_mask)


def _mean_pool_inputs():
    return {
        "samples of 4 and 2 real tokens": (draw(2, 4, 3), mask("1111", "1100")),
        "T = 1": (draw(2, 1, 3), mask("1", "1")),
        "padding in the middle": (draw(3, 4, 2), mask("1011", "1001", "0110")),
        "padding at the front": (draw(1, 3, 2), mask("011")),
        "a sample without a real token": (draw(2, 3, 2), mask("110", "000")),
        "numbers of ±10,000": (draw(2, 3, 2, scale=1e4), mask("111", "100")),
    }


def _pool(divisor: str = "real", masked: bool = True):
    def wrong(x: Tensor, attention_mask: np.ndarray) -> Tensor:
        m = attention_mask[:, :, None] if masked else np.ones((*x.shape[:2], 1))
        real = attention_mask.sum(axis=1)[:, None].astype(np.float64)
        n = {"real": np.maximum(real, 1), "0": real, "T": x.shape[1], "1": 1, "batch": max(1, real.sum()), "B": len(x)}
        return (x * m).sum(dim=1) / n[divisor]

    return wrong


def _shares(dy, m):
    return (dy / np.maximum(m.sum(axis=1), 1)[:, None])[:, None, :]


def _first_n(x, m):
    n = m.sum(axis=1)
    return mean_pool(x, np.arange(x.shape[1]) < n[:, None])


def _without(kept):
    def wrong(x: Tensor, attention_mask: np.ndarray) -> Tensor:
        return mean_pool(x[:, kept], attention_mask[:, kept])

    return wrong


PADDED = "padding changes a vector by {gap}"
MEAN_POOL = Piece(
    mean_pool,
    _mean_pool_inputs,
    slips(
        {
            f"the mean over all T positions, padding included | {PADDED}": (_pool("T", masked=False),),
            f"the sum of the real tokens is divided by T, not by their number | {PADDED}": (_pool("T"),),
            f"padding is in the sum, though not in the divisor | {PADDED}": (_pool(masked=False), _pool("0", False)),
            "a sample without a real token is 0 / 0 | should be zeros, not NaN": (_pool("0"),),
            "the sum, not the mean": (_pool("1"),),
            "divided by the real tokens of the whole batch": (_pool("batch"),),
            "divided by the number of samples": (_pool("B"),),
            "the largest value, not the mean": (
                lambda x, m: where(m.astype(bool)[:, :, None], x, Tensor(np.asarray(-1e30))).max(dim=1),
                lambda x, m: x.max(dim=1),
            ),
            "the first n positions, where n tokens are real, wherever they stand": (_first_n,),
            "the first token is left out": (_without(slice(1, None)),),
            "the last position is left out": (_without(slice(None, -1)),),
            "divided by the root of the number": (lambda x, m: mean_pool(x, m) * np.sqrt(m.sum(axis=1))[:, None],),
            "the gradient is not divided by the number of real tokens": (
                with_gradient(mean_pool, lambda dy, y, x, m: dy[:, None, :] * m[:, :, None]),
            ),
            "the gradient reaches padding": (
                with_gradient(mean_pool, lambda dy, y, x, m: _shares(dy, m) + np.zeros_like(x)),
            ),
            "the gradient is divided by T, not by the number of real tokens": (
                with_gradient(mean_pool, lambda dy, y, x, m: dy[:, None, :] * m[:, :, None] / x.shape[1]),
            ),
            "the first token alone": (lambda x, m: x[:, 0],),
            "the mean over the samples, the wrong axis": (lambda x, m: x.mean(dim=0),),
        }
    ),
)


PIECES = [MEAN_POOL]

"""Exercises of lesson 08: check them with "minitx learn 08 --check".

`attend`, `feed_forward`, `norm1`, `norm2` and `dropout` are functions from a Tensor to a Tensor of the same shape.
"""

import numpy as np

from minitx import Tensor


def pre_norm_block(x, attend, feed_forward, norm1, norm2, dropout):
    """A block with the norms in front of its sublayers: a Tensor (B, T, D) -> a Tensor (B, T, D).

    Attention first, with norm1, then the feed-forward network, with norm2. `dropout` is applied to what each of them
    adds, and to nothing else.
    """
    raise NotImplementedError


def post_norm_block(x, attend, feed_forward, norm1, norm2, dropout):
    """A block with a norm after each addition: a Tensor (B, T, D) -> a Tensor (B, T, D).

    Attention first, then norm1; the feed-forward network, then norm2. `dropout` is applied to what each of them adds,
    and to nothing else.
    """
    raise NotImplementedError


def dropout(x, p, noise, training):
    """x with some of its elements 0: a Tensor of any shape -> a Tensor of the same shape.

    `noise` is an array of x's shape, drawn uniformly from 0 to 1. While `training`, an element becomes 0 where its
    noise is below p (0 <= p < 1), and is divided by 1 - p elsewhere, so that the mean stays the same. If not
    `training`, nothing changes.
    """
    raise NotImplementedError

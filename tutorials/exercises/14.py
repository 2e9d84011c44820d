"""Exercises of lesson 14: check them with "minitx learn 14 --check"."""

import math

import numpy as np

from minitx import Tensor
from minitx.autograd.tensor import cat


def leak_free_split(texts, ids, test_fraction, rng):
    """Two ascending lists of row numbers, (train, test), such that no text and no id has rows in both.

    texts is a list of str; ids has a str or None for each row. Rows are kept together if they share a text (up to case
    and white space: " ".join(text.casefold().split())) or an id (None shares nothing), directly or through other rows.
    Number these groups by their first row; take them in the order rng.permutation(number of groups); put each whole
    group into test while test has fewer than test_fraction * N rows, else into train.
    """
    raise NotImplementedError


def paired_interval(a, b, t):
    """Is b better than a? Arrays a and b (n,), one value for each seed, and a number t -> (mean, low, high).

    The mean of the differences b - a, seed by seed, and mean - h and mean + h with h = t s / sqrt(n); s is the standard
    deviation of the differences, with n - 1 in its denominator. For a 95 % interval t is the 0.975 quantile of
    Student's distribution with n - 1 degrees of freedom: 12.71, 4.30, 3.18, 2.78, 2.57 for n = 2, 3, 4, 5, 6.
    """
    raise NotImplementedError


def attention_in_blocks(q, k, v, block):
    """softmax(q k^T / sqrt(K)) v of each sample, `block` samples at a time: Tensors (B, T, K) -> Tensor (B, T, K).

    The same numbers and gradients as for all samples at once; only the scores in memory are fewer. The last block may
    be smaller, and `block` may be larger than B. B is at least 1; scores are not too large for exp.
    """
    raise NotImplementedError

"""Exercises of lesson 13: check them with "minitx learn 13 --check".

Each function says what it returns. NumPy and minitx's Tensor are all you need.
"""

import numpy as np

from minitx import Tensor


def mean_reciprocal_rank(cosines, answers):
    """How far down stands the right answer? cosines, an array (N, M), and answers, whole numbers (N,) -> a number.

    Question i is answered by column answers[i]. Its rank is 1 if no other column has a higher cosine, 2 if one has, and
    so on: a column with an equal cosine does not push it down. Returns the mean of 1 / rank over the questions.
    """
    raise NotImplementedError


def in_batch_loss(a, b, scale, same):
    """The loss of B pairs without false negatives: Tensors a and b (B, D), a number, bools (B, B) -> Tensor ().

    The logit of question i and answer j is scale times the cosine of a[i] and b[j]; no row of a or b is zero. Answer i
    is the right one. Answers j other than i for which same[i, j] is True say the same as answer i, so they do not take
    part in the softmax of question i. The diagonal of `same` may hold anything: the right answer always takes part.
    Returns the mean over the questions of -log(probability of the right answer). The scale may be 1000.
    """
    raise NotImplementedError

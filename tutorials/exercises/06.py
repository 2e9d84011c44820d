"""Exercises of lesson 06: check them with "minitx learn 06 --check"."""

import numpy as np


def embedding_gradient(dy, ids, num_rows):
    """The derivative of a table (num_rows, D) of which the rows `ids` were looked up: an array (num_rows, D).

    `dy` is an array (*ids.shape, D), what came back for each row that was looked up; `ids` is an array of integers of
    any shape. A row that was looked up several times receives the sum, one that was not receives 0. The dtype is that
    of dy.
    """
    raise NotImplementedError


def sinusoidal_table(length, dim):
    """The codes of the places 0 to length - 1: an array (length, dim).

        table[t, 2i] = sin(t / 10000^(2i / dim))
        table[t, 2i + 1] = cos(t / 10000^(2i / dim))

    `dim` may be odd; the last column is then a sine.
    """
    raise NotImplementedError

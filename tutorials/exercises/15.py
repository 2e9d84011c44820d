"""Exercises of lesson 15: check them with "minitx learn 15 --check"."""

import numpy as np


def rows_of(rank, size, n, batch_size, seed):
    """The rows that process `rank` of `size` reads in an epoch: a list of lists of row numbers, one for each batch.

    All processes shuffle the rows 0 .. n-1 alike, with np.random.default_rng(seed).permutation(n), and cut them into
    batches of batch_size, of which the last may be smaller. Of each batch, process r reads the rows at r, r + size,
    r + 2 size, ...; that may be none.
    """
    raise NotImplementedError


def ring_sum(arrays):
    """Arrays (n,), one of each of p processes -> (the list of what each has at the end, how many numbers each sent).

    At the end all have the sum of all arrays. Each cuts a copy of its own into p pieces, np.array_split(copy, p). There
    are p - 1 steps in which process r sends piece (r - step) % p to process (r + 1) % p, which adds it to its own; then
    p - 1 in which process r sends piece (r + 1 - step) % p to the same one, which puts it in the place of its own. step
    counts from 0 in both rounds. The second list has a whole number for each process.
    """
    raise NotImplementedError


def joint_loss(sums, counts):
    """The mean loss of a batch, from each process's sum of losses and its count of labels: two lists -> a float.

    Some processes may have no label at all (their sum is 0.0); if nobody has, the loss is 0.0.
    """
    raise NotImplementedError

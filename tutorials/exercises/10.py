"""Exercises of lesson 10: check them with "minitx learn 10 --check".

Each function says what it returns. NumPy and minitx's Tensor are all you need.
"""

import numpy as np

from minitx import Tensor


def multitask_loss(logits, labels):
    """The sum of the heads' losses: logits, a dict of Tensors (B, C), and labels, a dict of arrays (B,) -> a Tensor ().

    Both dicts have the same keys, the heads; C may differ from head to head. A head's loss is the mean of
    -log(softmax(logits)[i, labels[i]]) over its labelled rows. A row labelled -100 has no label for that head, and
    counts neither in the sum nor in the number of rows. A head without any labelled row adds 0. Logits are moderate:
    there is no need to guard against overflow.
    """
    raise NotImplementedError


def uncertainty_loss(losses, log_variance):
    """Task weights that are learned: Tensors losses (tasks,) and log_variance (tasks,) -> a Tensor ().

    With L a task's loss and s its log variance: the sum over the tasks of exp(-s) L + s / 2 (Kendall, Gal & Cipolla
    2018). A loss of exactly 0 is that of a task without a label in this batch: the task adds nothing, and neither its
    loss nor its s gets a gradient.
    """
    raise NotImplementedError

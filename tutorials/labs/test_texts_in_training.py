"""Texts of the test rows are among the training rows

Seen in a notebook that trained on reviews of an app: rows were shuffled and cut into parts. Many reviews are short and
say the same, and some people send one twice, so a shuffle puts one copy in training and another in test. One would
expect the test accuracy to be what the model scores on reviews it has not seen.
"""

import numpy as np
from _small import RATE, accuracy, reviews, run_epochs, small_model

from minitx.data.split import Split, split
from minitx.evaluation.leakage import leakage_report
from minitx.learn.labs import Lab
from minitx.training.optim import AdamW


def right(data, seed):
    """Rows to train, to validate and to test on."""
    return split(data, seed=seed)


def wrong(data, seed):
    """Rows to train, to validate and to test on."""
    return shuffled(data, seed)


def shuffled(data, seed):
    """The same shares of the rows, cut from a random order."""
    order, N = np.random.default_rng(seed).permutation(len(data)), len(data)
    return Split(*(data.subset(rows) for rows in np.split(order, [int(0.7 * N), int(0.8 * N)])))


def measure(variant, seed, full):
    parts = variant(reviews(full), seed)
    model = small_model(parts.train, seed)
    run_epochs(model, parts.train, AdamW(model.parameters(), lr=RATE), 8, seed)
    known = leakage_report(parts.train, parts.test).rows("same_text")
    return {"test accuracy": accuracy(model, parts.test), "share of known test texts": known / len(parts.test)}


LAB = Lab(
    question="What does this do to the test accuracy?",
    metric="test accuracy",
    caught_by="leakage_report(train, test), which `minitx train` and `minitx evaluate` run by themselves:",
    lesson="A test row whose text was trained on asks what the model remembers, and the answer is no forecast of what "
    "it will do with a new text. Keep copies on one side before any row is drawn.",
    check=lambda: leakage_report(*shuffled(reviews(False), 0)[::2]),
)

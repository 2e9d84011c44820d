"""The test accuracy is a mean of batch accuracies

Seen in a notebook, and in many training loops: the accuracies of the batches were averaged, and the last batch, with
the few rows that were left, counted as much as a full one. The rows were shuffled for each evaluation, so that others
were in it every time. One would expect a small error, in either direction.
"""

from functools import cache

import numpy as np
from _small import RATE, reviews, rows_of, run_epochs, small_model

from minitx.data.split import split
from minitx.learn.labs import Lab
from minitx.training.optim import AdamW

BATCH = 64


def right(correct, sizes):
    """The accuracy, from the right answers in each batch and the batch's rows."""
    return correct.sum() / sizes.sum()


def wrong(correct, sizes):
    """The accuracy, from the right answers in each batch and the batch's rows."""
    return (correct / sizes).mean()


@cache
def answers(seed, full):
    """Whether a trained model is right about each test row (N,)."""
    parts = split(reviews(full), seed=seed)
    model = small_model(parts.train, seed)
    run_epochs(model, parts.train, AdamW(model.parameters(), lr=RATE), 4, seed)
    probabilities = model.probabilities(model.encoder.encode_ids(rows_of(model, parts.test).sequences))
    return probabilities["sentiment"].argmax(axis=1) == parts.test.labels["sentiment"]


def measure(variant, seed, full):
    correct, rng, figures = answers(seed, full), np.random.default_rng(seed), []
    for _ in range(20):
        batches = np.split(rng.permutation(correct), range(BATCH, len(correct), BATCH))
        figures.append(variant(np.array([b.sum() for b in batches]), np.array([len(b) for b in batches])))
    return {"test accuracy": figures[0], "its range over 20 orders of the rows": max(figures) - min(figures)}


LAB = Lab(
    question="What does this do to the test accuracy?",
    metric="test accuracy",
    caught_by="another order of the rows, which must not change an accuracy. `evaluate` counts rows, not batches.",
    lesson="A mean of means is the mean only if all parts are of one size. That an error has no direction makes it no "
    "smaller than the differences that are read off such a figure.",
)

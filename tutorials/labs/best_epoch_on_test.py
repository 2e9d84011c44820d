"""The best epoch is chosen on the test rows

Seen in a notebook that had no validation rows: the test rows were scored after every epoch, and what they showed
decided which rates were tried next. Here they choose the epoch. One would expect a test accuracy to be one look at rows
that had no part in any choice.
"""

from functools import cache

import numpy as np
from _small import RATE, accuracy, reviews, run_epochs, small_model

from minitx.data.split import split
from minitx.learn.labs import Lab
from minitx.training.optim import AdamW


def right(validation, test):
    """The epoch to report, given the accuracies of all epochs on both parts."""
    return int(np.argmax(validation))


def wrong(validation, test):
    """The epoch to report, given the accuracies of all epochs on both parts."""
    return int(np.argmax(test))


@cache
def curves(seed, full):
    """Accuracy after each epoch on validation rows, on test rows and on rows that are kept for the end."""
    parts = split(reviews(full), (0.7, 0.1, 0.2), seed)
    test, kept = (parts.test.subset(rows) for rows in np.split(np.arange(len(parts.test)), [len(parts.test) // 4]))
    model = small_model(parts.train, seed)
    optimizer, epochs = AdamW(model.parameters(), lr=RATE), []
    for number in range(12):
        run_epochs(model, parts.train, optimizer, 1, seed + 1000 * number)
        epochs.append([accuracy(model, part) for part in (parts.validation, test, kept)])
    return np.array(epochs).T


def measure(variant, seed, full):
    validation, test, kept = curves(seed, full)
    chosen = variant(validation, test)
    return {"reported test accuracy": test[chosen], "accuracy on rows kept for the end": kept[chosen]}


LAB = Lab(
    question="By more than the scatter of the seeds: what does this do to the reported test accuracy?",
    metric="reported test accuracy",
    caught_by="rows that are looked at once, after every choice: the gain is not there. `minitx train` chooses on "
    "validation rows and evaluates the test rows once.",
    lesson="The highest of several noisy figures is never below any other of them: choosing on the test rows can "
    "only raise the figure. How much, a few seeds may not tell; then there is no verdict, and still nothing to trust.",
)

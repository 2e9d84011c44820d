"""Macro-F1 is averaged over the classes that were predicted

Seen beside a head that never predicted two of its classes: their precision is undefined, and a mean that skips what is
undefined leaves the classes out. It happens soon where few rows are labelled, as here. One would expect the mean over
the classes to be a mean over all of them.
"""

from functools import cache

import numpy as np
from _small import RATE, judge, reviews, run_epochs, small_model

from minitx.data.split import split
from minitx.learn.labs import Lab
from minitx.training.optim import AdamW


def right(f1, predicted):
    """Macro-F1 from the F1 of each class (C,) and the number of rows predicted as it (C,)."""
    return f1.mean()


def wrong(f1, predicted):
    """Macro-F1 from the F1 of each class (C,) and the number of rows predicted as it (C,)."""
    return f1[predicted > 0].mean()


@cache
def engagement(seed, full):
    """The report on test rows of an engagement head that was trained on few rows."""
    parts = split(reviews(full), seed=seed)
    few = parts.train.subset(np.arange(150))
    model = small_model(few, seed)
    run_epochs(model, few, AdamW(model.parameters(), lr=RATE), 8, seed)
    return judge(model, parts.test)["engagement"]


def measure(variant, seed, full):
    report = engagement(seed, full)
    predicted = report.confusion.sum(axis=0)
    return {"engagement macro-F1": variant(report.f1, predicted), "classes never predicted": (predicted == 0).sum()}


LAB = Lab(
    question="What does this do to the macro-F1 of a head with a rare class?",
    metric="engagement macro-F1",
    caught_by="the table of classes, which says that a class was never predicted and counts it as 0:",
    lesson="A class that is never predicted has an F1 of 0, the lowest there is, so leaving it out can only raise the "
    "mean. The figure is then best for the model that has given up on the hard classes.",
    check=lambda: engagement(0, False).per_class(),
)

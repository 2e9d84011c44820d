"""An accuracy is read beside the toss of a coin

Seen in several write-ups that called a high accuracy on an uneven task a success: with three classes, a guess is right
one time in three. One would expect the gain over knowing nothing to be near 0 for a model that has learned nothing.
"""

from functools import cache

from _small import RATE, judge, reviews, run_epochs, small_model

from minitx.data.split import split
from minitx.learn.labs import Lab
from minitx.training.optim import AdamW


def right(report):
    """What a head is worth: its accuracy, less that of one that knows nothing."""
    return report.accuracy - report.majority


def wrong(report):
    """What a head is worth: its accuracy, less that of one that knows nothing."""
    return report.accuracy - 1 / len(report.classes)


@cache
def engagement(seed, full):
    """The report of a trained model's engagement head on test rows."""
    parts = split(reviews(full), seed=seed)
    model = small_model(parts.train, seed)
    run_epochs(model, parts.train, AdamW(model.parameters(), lr=RATE), 4, seed)
    return judge(model, parts.test)["engagement"]


def measure(variant, seed, full):
    report = engagement(seed, full)
    return {"accuracy gained over knowing nothing": variant(report), "accuracy": report.accuracy}


LAB = Lab(
    question="What does this do to the accuracy gained over knowing nothing?",
    metric="accuracy gained over knowing nothing",
    caught_by="the rows that `minitx train` and `minitx evaluate` print under every report:",
    lesson="Who knows nothing of a text still knows which class is the largest, and always saying that is never worse "
    "than a coin. On an uneven task the coin is a rival that anybody beats.",
    check=lambda: engagement(0, False).beside(),
)

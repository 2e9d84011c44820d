"""A frozen head is said to protect its task

Seen in three write-ups: to keep a model from forgetting one task while it learns another, the head of the first is
frozen. The head does keep its weights. One would expect that task's accuracy to stay what it was.
"""

import copy
from functools import cache

import numpy as np
from _small import RATE, accuracy, reviews, run_epochs, small_model

from minitx.data.split import split
from minitx.learn.labs import Lab
from minitx.training.freezing import freeze
from minitx.training.optim import AdamW
from minitx.training.trainable import trainable_report


def right(model):
    """What must not change while engagement is learned, lest sentiment be forgotten."""
    freeze(model, ["sentiment", "backbone"])


def wrong(model):
    """What must not change while engagement is learned, lest sentiment be forgotten."""
    freeze(model, ["sentiment"])


@cache
def learned(seed, full):
    """The parts, and a model that has learned both tasks."""
    parts = split(reviews(full), seed=seed)
    model = small_model(parts.train, seed)
    run_epochs(model, parts.train, AdamW(model.parameters(), lr=RATE), 6, seed)
    return parts, model


def measure(variant, seed, full):
    parts, both = learned(seed, full)
    model = copy.deepcopy(both)
    variant(model)
    run_epochs(model, parts.train, AdamW(model.parameters(), lr=RATE), 4, seed + 1000, {"sentiment": 0.0})
    head, before = model.heads["sentiment"], both.heads["sentiment"]
    changed = sum(np.sum(a.data != b.data) for a, b in zip(head.parameters(), before.parameters(), strict=True))
    return {"sentiment accuracy": accuracy(model, parts.test), "weights of its head that changed": changed}


def check():
    """How much of the model a frozen head leaves free to move."""
    model = small_model(reviews(False), 0)
    wrong(model)
    return trainable_report(model, AdamW(model.parameters())).summary()


LAB = Lab(
    question="What does this do to the accuracy of the frozen task?",
    metric="sentiment accuracy",
    caught_by="trainable_report, which says how much still trains under the frozen head:",
    lesson="A head reads vectors. If those move, its answers change though not a bit of it does. What protects a task "
    "is to keep its loss, or to freeze all that it reads.",
    check=check,
)

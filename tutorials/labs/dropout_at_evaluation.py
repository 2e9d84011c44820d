"""Dropout is on while the model is judged

Common in training loops that score a model in the middle of training: no graph is recorded, as it should be, but the
model is left in training mode. That only looks like the same thing. One would expect a model to answer one question
twice alike.
"""

import copy
from functools import cache

import numpy as np
from _small import RATE, reviews, rows_of, run_epochs, small_model

from minitx.autograd.context import inference, no_grad
from minitx.data.batches import pad
from minitx.data.split import split
from minitx.learn.labs import Lab
from minitx.training.optim import AdamW


def right(model, ids, attention_mask):
    """Logits of a model that is in the middle of training."""
    with inference():
        return model(ids, attention_mask)


def wrong(model, ids, attention_mask):
    """Logits of a model that is in the middle of training."""
    with no_grad():
        return model(ids, attention_mask)


@cache
def trained(seed, full):
    """A model, still in training mode, and padded test rows with their labels."""
    parts = split(reviews(full), seed=seed)
    model = small_model(parts.train, seed)
    run_epochs(model, parts.train, AdamW(model.parameters(), lr=RATE), 6, seed)
    return model, pad(rows_of(model, parts.test).sequences, model.encoder.config.pad_id), parts.test.labels["sentiment"]


def measure(variant, seed, full):
    model, batch, labels = copy.deepcopy(trained(seed, full))  # dropout draws on from where it was
    first, second = (variant(model, *batch)["sentiment"].data.argmax(axis=1) for _ in range(2))
    return {"test accuracy": np.mean(first == labels), "share of answers that change": np.mean(first != second)}


LAB = Lab(
    question="What does this do to the test accuracy?",
    metric="test accuracy",
    caught_by="asking twice: the answers must be the same, to the last bit. `evaluate`, `encode` and `predict` run "
    "inside `inference()` and never look at the model's mode.",
    lesson="Recording no graph and switching dropout off are two things. A model that survives dropout well is hurt "
    "little, so that the score may look right; that its answers change is never right.",
)

"""Dropout stays on in a frozen encoder

Seen in an earlier version of this package, and common elsewhere: freezing takes the gradients from an encoder, but a
call of `train()` still switches its dropout on, so that the heads learn from vectors that change each time. One would
expect "frozen" to mean that the vectors are fixed.
"""

import copy
from functools import cache

import numpy as np
from _small import RATE, judge, reviews, rows_of, run_epochs, small_model

from minitx.data.batches import pad
from minitx.data.split import split
from minitx.learn.labs import Lab
from minitx.training.optim import AdamW


def right(model):
    """Prepare a model of which the heads alone are to train."""
    model.encoder.freeze()
    model.encoder.eval()


def wrong(model):
    """Prepare a model of which the heads alone are to train."""
    model.encoder.freeze()
    model.encoder.train()


@cache
def pretrained(seed, full):
    """The parts, and a model that has learned sentiment alone."""
    parts = split(reviews(full), seed=seed)
    model = small_model(parts.train, seed)
    run_epochs(model, parts.train, AdamW(model.parameters(), lr=RATE), 4, seed, {"engagement": 0.0})
    return parts, model


def measure(variant, seed, full):
    parts, learned = pretrained(seed, full)
    model = copy.deepcopy(learned)
    variant(model)
    run_epochs(model, parts.train, AdamW(model.parameters(), lr=10 * RATE), 8, seed + 1000)
    batch = pad(rows_of(model, parts.test).sequences[:100], model.encoder.config.pad_id)
    first, second = (model.encoder(*batch).data for _ in range(2))
    changed = np.abs(first - second).max() / np.abs(first).max()
    return {
        "engagement macro-F1": judge(model, parts.test)["engagement"].macro_f1,
        "change of a frozen vector, relative": changed,
    }


LAB = Lab(
    question="What does this do to the macro-F1 of the head that learns?",
    metric="engagement macro-F1",
    caught_by="running a frozen encoder twice: the vectors must be the same. `fit` computes them once, without "
    "dropout, and uses them in every epoch.",
    lesson="Whether weights learn and whether dropout is on are two switches. Noise on a frozen encoder's vectors may "
    "harm or help the heads; what is certain is that vectors which change cannot be computed once and kept.",
)

"""A token that occurs twice is counted once

Seen in an earlier version of this package, for indices that came as a Tensor or a nested tuple, and in hand-written
embedding layers: derivatives were added up with `dw[ids] += dy`. NumPy reads all rows first, adds, and writes them
back, so of several shares of one row the last is kept. One would expect a common word to learn most, as it has most to
learn from.
"""

import numpy as np
from _small import RATE, accuracy, reviews, rows_of, run_epochs, small_model

from minitx.autograd.tensor import Tensor
from minitx.data.split import split
from minitx.learn.gradcheck import gradcheck
from minitx.learn.labs import Lab
from minitx.nn.layers import Embedding
from minitx.training.optim import AdamW


def right(ids, dy, dw):
    """Add the derivatives dy (B, T, D) of looked-up rows to the derivative by their table, dw (V, D)."""
    np.add.at(dw, ids, dy)
    return dw


def wrong(ids, dy, dw):
    """Add the derivatives dy (B, T, D) of looked-up rows to the derivative by their table, dw (V, D)."""
    dw[ids] += dy
    return dw


def lookup(variant, ids, w):
    """Rows of a table w (V, D) for ids of any shape."""
    return Tensor.from_op(w.data[ids], (w,), lambda dy: (variant(ids, dy, np.zeros(w.shape, w.dtype)),))


def measure(variant, seed, full):
    class Table(Embedding):
        def forward(self, ids):
            return lookup(variant, ids, self.weight)

    parts = split(reviews(full), seed=seed)
    model = small_model(parts.train, seed)
    V, D = model.encoder.embedding.weight.shape
    table = Table(V, D, std=D**-0.5, rng=np.random.default_rng(seed))
    model.encoder.embedding = table
    run_epochs(model, parts.train, AdamW(model.parameters(), lr=RATE), 6, seed)
    ids = np.concatenate(rows_of(model, parts.train).sequences[:32])  # of a batch
    counted = variant(ids, np.ones((len(ids), 1)), np.zeros((V, 1))).sum() / len(ids)
    return {"test accuracy": accuracy(model, parts.test), "share of a batch's tokens counted": counted}


def check():
    """The check of a gradient, on ids of which one occurs twice."""
    w = Tensor(np.random.default_rng(0).normal(size=(4, 3)), requires_grad=True)
    return gradcheck(lambda w: lookup(wrong, np.array([2, 0, 2]), w), w)


LAB = Lab(
    question="What does this do to the test accuracy?",
    metric="test accuracy",
    caught_by="gradcheck, on ids of which one occurs twice:",
    lesson="A gradient that is wrong can still point roughly downhill, and Adam makes steps of about one size whatever "
    "is left of it. A loss that falls is no proof of a gradient; a comparison with differences is.",
    check=check,
)

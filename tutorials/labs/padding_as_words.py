"""Padding is attended to, and averaged

Seen in a notebook that padded every review to one length and called its blocks without a mask: each token looked at the
padding as at any other, and the sentence's vector was the mean over all positions, most of them padding. One would
expect it to drown the few words of a short review.
"""

import numpy as np
from _small import RATE, accuracy, reviews, rows_of, run_epochs, small_model

from minitx.data.split import split
from minitx.learn.invariances import check_invariances
from minitx.learn.labs import Lab
from minitx.models.encoder import SentenceEncoder
from minitx.training.optim import AdamW

LENGTH = 64


def right(attention_mask, more):
    """The mask (B, LENGTH) of a batch whose rows have been given `more` positions of padding."""
    return np.pad(attention_mask, ((0, 0), (0, more)))


def wrong(attention_mask, more):
    """The mask (B, LENGTH) of a batch whose rows have been given `more` positions of padding."""
    return np.ones((len(attention_mask), LENGTH), bool)


def encoder(variant):
    """The class of an encoder that pads to one length, and sees what `variant` shows it."""

    class Padded(SentenceEncoder):
        def forward(self, ids, attention_mask):
            more = LENGTH - ids.shape[1]
            padded = np.pad(ids, ((0, 0), (0, more)), constant_values=self.config.pad_id)
            return super().forward(padded, variant(attention_mask, more))

    return Padded


def measure(variant, seed, full):
    parts = split(reviews(full), seed=seed)
    model = small_model(parts.train, seed, encoder(variant))
    run_epochs(model, parts.train, AdamW(model.parameters(), lr=RATE), 4, seed)
    lengths = [len(ids) for ids in rows_of(model, parts.test).sequences]
    looked_at = [variant(np.ones((1, T), bool), LENGTH - T).sum() for T in lengths]
    return {"test accuracy": accuracy(model, parts.test), "positions a token looks at": np.mean(looked_at)}


def check():
    """What the package says of such a model, before any training."""
    model = small_model(reviews(False), 0, encoder(wrong))
    return check_invariances(model, model.encoder.tokenizer)


LAB = Lab(
    question="What does this do to the test accuracy?",
    metric="test accuracy",
    caught_by="check_invariances, as what fills the padding must not matter:",
    lesson="It is plainly wrong, and an accuracy may not show it: the model can learn to work around constant padding, "
    "and the share of padding tells it how long a text is. Do not rely on a score to find such a defect: change what "
    "must not matter, and look whether the vectors move.",
    check=check,
)

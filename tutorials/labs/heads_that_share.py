"""All heads share one small projection

Seen in a notebook and in the tutorial that it follows: the vector was cut into heads first, and one K x K matrix was
then applied to every piece. Each head sees its own slice of the vector only, and all of them look for the same in it.
One would expect a model with several heads to have a projection of its own for each.
"""

import numpy as np
from _small import RATE, accuracy, reviews, run_epochs, small_model

from minitx.data.split import split
from minitx.learn.labs import Lab
from minitx.nn.layers import Linear
from minitx.nn.module import Module
from minitx.training.optim import AdamW
from minitx.training.trainable import trainable_report


def right(D, H, rng):
    """The layer that makes queries, keys or values of vectors: (B, T, D) -> (B, T, D)."""
    return Linear(D, D, rng=rng)


def wrong(D, H, rng):
    """The layer that makes queries, keys or values of vectors: (B, T, D) -> (B, T, D)."""
    return OnPieces(D // H, rng)


class OnPieces(Module):
    """One linear layer for each piece of a vector, K wide."""

    def __init__(self, K, rng):
        self.K, self.linear = K, Linear(K, K, rng=rng)

    def forward(self, x):
        B, T, D = x.shape
        return self.linear(x.reshape(B, T, D // self.K, self.K)).reshape(B, T, D)


def model_with(variant, texts, seed):
    """A new model whose projections are made by `variant`."""
    model, rng = small_model(texts, seed), np.random.default_rng(seed)
    attention, D = model.encoder.transformer.blocks[0].attention, model.encoder.config.hidden_size
    for name in ("query", "key", "value"):
        setattr(attention, name, variant(D, attention.num_heads, rng))
    return model, sum(getattr(attention, name).num_parameters() for name in ("query", "key", "value"))


def measure(variant, seed, full):
    parts = split(reviews(full), seed=seed)
    model, weights = model_with(variant, parts.train, seed)
    run_epochs(model, parts.train, AdamW(model.parameters(), lr=RATE), 6, seed)
    return {"test accuracy": accuracy(model, parts.test), "weights of the projections": weights}


def check():
    """The rows of the report that are about attention."""
    model, _ = model_with(wrong, reviews(False), 0)
    lines = str(trainable_report(model, AdamW(model.parameters()))).splitlines()
    return "\n".join(line for line in lines if "attention" in line)


LAB = Lab(
    question="What does this do to the test accuracy?",
    metric="test accuracy",
    caught_by="counting: three projections have 3 (D D + D) weights. trainable_report shows each shape:",
    lesson="Shapes fit and the loss falls, so nothing complains. Count the weights of a layer once, by hand, and "
    "compare: a model that is far too small can still do well on a small task.",
    check=check,
)

"""The training loss is divided by the rows of the data set

Seen in a notebook: the mean losses of the batches were added up, and the sum was divided by the number of rows in place
of the number of batches. The printed training loss was as many times too small as a batch has rows. Beside the test
loss, that looks like a model that has learned its rows by heart; one would expect the two to be on one scale.
"""

from functools import cache

import numpy as np
from _small import RATE, judge, reviews, rows_of, run_epochs, small_model

from minitx.autograd.context import inference
from minitx.data.batches import length_batches
from minitx.data.split import split
from minitx.learn.labs import Lab
from minitx.training.optim import AdamW


def right(losses, sizes):
    """The training loss to print, from the mean loss of each batch and its number of rows."""
    return (losses * sizes).sum() / sizes.sum()


def wrong(losses, sizes):
    """The training loss to print, from the mean loss of each batch and its number of rows."""
    return losses.sum() / sizes.sum()


def batches_of(model, part):
    """Mean sentiment loss of each batch, and its rows."""
    losses, sizes = [], []
    for batch in length_batches(*rows_of(model, part), batch_size=32, pad_id=model.encoder.config.pad_id):
        with inference():
            found = model.losses(model(batch.ids, batch.attention_mask), batch.labels)
        losses.append(found["sentiment"].item())
        sizes.append(len(batch))
    return np.array(losses), np.array(sizes)


@cache
def trained(seed, full):
    """The batches of a trained model, and its test loss."""
    parts = split(reviews(full), seed=seed)
    model = small_model(parts.train, seed)
    run_epochs(model, parts.train, AdamW(model.parameters(), lr=RATE), 4, seed)
    return *batches_of(model, parts.train), judge(model, parts.test)["sentiment"].loss


def measure(variant, seed, full):
    losses, sizes, test_loss = trained(seed, full)
    loss = variant(losses, sizes)
    return {"test loss less training loss": test_loss - loss, "training loss": loss}


def check():
    """The figure before any training, when it must be ln(3)."""
    losses, sizes = batches_of(small_model(reviews(False), 0), reviews(False))
    told = f"right {right(losses, sizes):.3f}, wrong {wrong(losses, sizes):.3f}"
    return f"loss of an untrained model with three classes: {told}; ln(3) is {np.log(3):.3f}"


LAB = Lab(
    question="What does this do to the gap between test and training loss, which is read as overfitting?",
    metric="test loss less training loss",
    caught_by="the loss of an untrained model, which is known: ln(C) for C classes.",
    lesson="Divide a sum by the number of what was summed. A figure whose value is known in one situation is checked "
    "in that situation first.",
    check=check,
)

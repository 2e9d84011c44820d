"""The optimizer holds the weights of an earlier model

Seen in a notebook: the cell that makes the optimizer stands before the one that makes the model anew. Run in that
order, the optimizer goes on moving the weights of the model before, which nobody uses. The loop runs, the loss is
printed, nothing fails. One would expect an error.
"""

from _small import RATE, accuracy, reviews, run_epochs, small_model

from minitx.data.split import split
from minitx.learn.labs import Lab
from minitx.training.optim import AdamW


def right(earlier, data, seed):
    """A model and its optimizer; `earlier` is another model."""
    model = small_model(data, seed)
    optimizer = AdamW(model.parameters(), lr=RATE)
    return model, optimizer


def wrong(earlier, data, seed):
    """A model and its optimizer; `earlier` is another model."""
    model = small_model(data, seed)
    optimizer = AdamW(earlier.parameters(), lr=RATE)
    return model, optimizer


def measure(variant, seed, full):
    parts = split(reviews(full), seed=seed)
    model, optimizer = variant(small_model(parts.train, seed), parts.train, seed)
    before = [p.data.copy() for p in model.parameters()]
    run_epochs(model, parts.train, optimizer, 6, seed)
    moved = sum((a != p.data).sum() for a, p in zip(before, model.parameters(), strict=True))
    return {"test accuracy": accuracy(model, parts.test), "share of weights that moved": moved / model.num_parameters()}


def check():
    """What `fit` asks of an optimizer before the first step."""
    model, optimizer = wrong(small_model(reviews(False), 0), reviews(False), 0)
    optimizer.check(model)


LAB = Lab(
    question="What does this do to the test accuracy?",
    metric="test accuracy",
    caught_by="optimizer.check(model), with which `fit` begins:",
    lesson="An optimizer holds parameters, not a model: whoever makes the model anew has to make the optimizer anew. "
    "Where nothing is compared with an untrained model, a random one can be taken for a weak one.",
    check=check,
)

"""More epochs are called layer-wise rates

Seen in a notebook whose cells were run out of order: the model that was to show what layer-wise learning rates do was
the one that had just been trained with one rate, and went on from there. The gain was credited to the rates. One would
expect two arms of a comparison to have had the same training but for what is compared.
"""

import copy
from functools import cache

from _small import RATE, accuracy, reviews, run_epochs, small_model

from minitx.data.split import split
from minitx.learn.invariances import check_invariances
from minitx.learn.labs import Lab
from minitx.training.freezing import parameter_groups
from minitx.training.optim import AdamW


def right(new, trained):
    """The model to train with layer-wise rates: a new one, or one that was trained with a single rate."""
    return copy.deepcopy(new)


def wrong(new, trained):
    """The model to train with layer-wise rates: a new one, or one that was trained with a single rate."""
    return copy.deepcopy(trained)


@cache
def first_run(seed, full, epochs):
    """The parts, a new model, and the same model trained with a single rate."""
    parts = split(reviews(full), seed=seed)
    new = small_model(parts.train, seed)
    trained = copy.deepcopy(new)
    run_epochs(trained, parts.train, AdamW(trained.parameters(), lr=RATE / 4), epochs, seed)
    return parts, new, trained


def measure(variant, seed, full):
    epochs = 3 if full else 8  # steps are fewer where rows are: neither is enough to finish learning
    parts, new, trained = first_run(seed, full, epochs)
    model = variant(new, trained)
    groups = parameter_groups(model, lr=RATE / 4, head_lr=RATE / 4, layer_decay=0.8)
    run_epochs(model, parts.train, AdamW(groups), epochs, seed + 1000)
    return {"accuracy gained by layer-wise rates": accuracy(model, parts.test) - accuracy(trained, parts.test)}


def check():
    """What the package says of the model that the second arm is handed."""
    _, new, trained = first_run(0, False, 4)
    model = wrong(new, trained)
    return check_invariances(model, model.encoder.tokenizer)


LAB = Lab(
    question="What does this do to the accuracy gained by layer-wise rates?",
    metric="accuracy gained by layer-wise rates",
    caught_by="the first loss: that of a new model is ln(C). check_invariances finds a model that has learned already:",
    lesson="A comparison of two ways to train says nothing if one of them has trained for longer. Make every arm anew, "
    "from the same seed, with the same number of steps, and run a script from its top.",
    check=check,
)

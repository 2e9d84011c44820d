"""A random model is trained with the rates of fine-tuning

Seen in a notebook that made its model from random numbers and took its learning rates from advice about pretrained
ones, so as not to disturb what their layers have learned. Here nothing has been learned yet. One would expect training
to be merely slower.
"""

from functools import cache

from _small import RATE, judge, reviews, run_epochs, small_model

from minitx.data.split import split
from minitx.learn.labs import Lab
from minitx.training.freezing import parameter_groups
from minitx.training.optim import AdamW


def right(model):
    """The optimizer of a model that starts at random."""
    return AdamW(parameter_groups(model, lr=RATE, head_lr=RATE))


def wrong(model):
    """The optimizer of a model that starts at random."""
    return AdamW(parameter_groups(model, lr=3e-6, head_lr=3e-5))


@cache
def run(variant, seed, full):
    """Reports of the training rows and of the test rows."""
    parts = split(reviews(full), seed=seed)
    model = small_model(parts.train, seed)
    run_epochs(model, parts.train, variant(model), 6, seed)
    return judge(model, parts.train)["sentiment"], judge(model, parts.test)["sentiment"]


def measure(variant, seed, full):
    train, test = run(variant, seed, full)
    return {"test accuracy": test.accuracy, "training loss": train.loss}


LAB = Lab(
    question="What does this do to the test accuracy?",
    metric="test accuracy",
    caught_by="the training loss, which is still near ln(C) at the end, and the baselines beside every figure:",
    lesson="A rate suits a start. Small rates protect what has been learned; a random model has learned nothing, and "
    "stops long before it has. Look at the training loss before the test accuracy is explained.",
    check=lambda: run(wrong, 0, False)[1].beside(),
)

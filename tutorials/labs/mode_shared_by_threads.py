"""One thread's evaluation mode ends while another evaluates

Seen in an earlier version of this package: `encode` put the model in evaluation mode, ran it, and put back the mode it
had found. Two threads that overlap take turns at one flag: the first to finish switches dropout on again under the
second, and the second puts back what the first had set. One would expect a model that is only asked to serve any number
of threads.
"""

import copy
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from threading import Barrier

import numpy as np
from _small import RATE, reviews, rows_of, run_epochs, small_model

from minitx.autograd.context import inference
from minitx.data.batches import pad
from minitx.data.split import split
from minitx.learn.labs import Lab
from minitx.training.optim import AdamW


def right(model):
    """A block inside which this model runs without dropout."""
    return inference()


def wrong(model):
    """A block inside which this model runs without dropout."""
    return evaluation_mode(model)


@contextmanager
def evaluation_mode(model):
    """Switch to evaluation mode, and back to the mode that was found."""
    found = model.training
    model.eval()
    yield
    model.train(found)


def overlapping(variant, model, ids, attention_mask):
    """Answers of a thread that begins while another thread is at work, and goes on after that one has finished."""
    step = Barrier(2, timeout=60)

    def first():
        with variant(model):
            step.wait()  # 1: the first is inside
            step.wait()  # 2: the second is inside too
        step.wait()  # 3: the first has left

    def second():
        step.wait()
        with variant(model):
            step.wait()
            step.wait()
            return model(ids, attention_mask)["sentiment"].data.argmax(axis=1)

    with ThreadPoolExecutor(2) as pool:
        pool.submit(first)
        return pool.submit(second).result()


@cache
def trained(seed, full):
    """A model, still in training mode, and padded test rows with their labels."""
    parts = split(reviews(full), seed=seed)
    model = small_model(parts.train, seed)
    run_epochs(model, parts.train, AdamW(model.parameters(), lr=RATE), 6, seed)
    return model, pad(rows_of(model, parts.test).sequences, model.encoder.config.pad_id), parts.test.labels["sentiment"]


def measure(variant, seed, full):
    model, batch, labels = copy.deepcopy(trained(seed, full))  # dropout draws on from where it was
    model.train()
    answers = overlapping(variant, model, *batch)
    return {"second thread's test accuracy": np.mean(answers == labels), "training mode afterwards": model.training}


LAB = Lab(
    question="What does this do to the test accuracy that the second thread finds?",
    metric="second thread's test accuracy",
    caught_by="a test that holds two threads at fixed points and compares the second one's answers with those of one "
    "thread alone. With luck for a scheduler, such a defect passes any number of runs.",
    lesson="What belongs to a run does not belong in the model. A flag that is set, used and put back is shared by "
    "everybody who can reach it.",
)

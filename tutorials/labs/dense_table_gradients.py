"""Gradients of an embedding table are added as full arrays

Seen in an earlier version of this package: each thread has the derivative of the rows that its texts use, and the
threads' shares were added up in an array of the whole table, nearly all of it zeros. Here the sum itself is right. One
would expect it to make no difference which way it is added.
"""

import numpy as np
from _small import RATE, accuracy, reviews, rows_of, small_model

from minitx.autograd.profiler import profile
from minitx.autograd.rows import RowGradient
from minitx.data.batches import length_batches
from minitx.data.split import split
from minitx.learn.labs import Lab
from minitx.nn.module import Parameter
from minitx.training.optim import AdamW


def right(a, b):
    """The sum of two threads' derivatives by one table, each a RowGradient."""
    return a + b


def wrong(a, b):
    """The sum of two threads' derivatives by one table, each a RowGradient."""
    return a.to_dense() + b


def numbers(gradient):
    """How many numbers a gradient holds, with each row once."""
    return gradient.coalesce().values.size if isinstance(gradient, RowGradient) else gradient.size


def measure(variant, seed, full):
    parts = split(reviews(full), seed=seed)
    model = small_model(parts.train, seed)
    optimizer, held = AdamW(model.parameters(), lr=RATE), []
    rows, rng, w = rows_of(model, parts.train), np.random.default_rng(seed), model.encoder.embedding.weight
    for _ in range(3):
        for batch in length_batches(*rows, batch_size=16, pad_id=model.encoder.config.pad_id, rng=rng):
            optimizer.zero_grad()
            shares = []
            for half in (slice(0, 8), slice(8, 16)):  # as two threads would, one after the other
                w.grad = None
                logits = model(batch.ids[half], batch.attention_mask[half])
                losses = model.losses(logits, {head: labels[half] for head, labels in batch.labels.items()})
                if len(batch.ids[half]):
                    sum(losses.values()).backward()
                    shares.append(w.grad)
            w.grad = variant(*shares) if len(shares) == 2 else shares[0]
            held.append(numbers(w.grad))
            optimizer.step()
    return {"test accuracy": accuracy(model, parts.test), "numbers in the table's gradient": np.mean(held)}


def check():
    """The profile of ten steps on a table of 30,000 tokens, rows beside full array."""
    rng, told = np.random.default_rng(0), []
    for variant in (right, wrong):
        table = Parameter(rng.normal(size=(30_000, 128)).astype(np.float32))
        optimizer = AdamW([table])
        a, b = (RowGradient(rng.integers(30_000, size=300), np.ones((300, 128), np.float32), table.shape) for _ in "ab")
        with profile() as p:
            for _ in range(10):
                table.grad = variant(a, b)
                optimizer.step()
        told.append(f"{variant.__name__}\n{p}")
    return "\n".join(told)


LAB = Lab(
    question="What does this do to the test accuracy?",
    metric="test accuracy",
    caught_by="`with profile():`, as the optimizer's step then goes through the whole table:",
    lesson="Not every defect is in a figure. The sum is the same, so no score can tell; what it costs grows with the "
    "vocabulary and not with the batch.",
    check=check,
)

"""The tokenizer learns from the test texts too

Seen in a notebook that trained its tokenizer on all texts, and split them some cells later. The vocabulary then has
tokens for what occurs in test texts only. One would expect this to flatter the test figures a little.
"""

import numpy as np
from _small import RATE, accuracy, reviews, rows_of, run_epochs, small_model

from minitx.data.split import split
from minitx.learn.labs import Lab
from minitx.text.bpe import BPETokenizer
from minitx.training.optim import AdamW


def right(data, parts):
    """The texts that the tokenizer learns from."""
    return parts.train.texts


def wrong(data, parts):
    """The texts that the tokenizer learns from."""
    return data.texts


def measure(variant, seed, full):
    data = reviews(full)
    parts = split(data, seed=seed)
    model = small_model(data, seed, texts=variant(data, parts))
    run_epochs(model, parts.train, AdamW(model.parameters(), lr=RATE), 8, seed)
    length = np.mean([len(ids) for ids in rows_of(model, parts.test).sequences])
    return {"test accuracy": accuracy(model, parts.test), "tokens in a test text": length}


def check():
    """What the vocabulary owes to rows that are not for training."""
    data = reviews(False)
    texts = (variant(data, split(data, seed=0)) for variant in (right, wrong))
    own, everything = (set(BPETokenizer.train(t, vocab_size=1000).get_vocab()) for t in texts)
    return f"{len(everything - own)} of {len(everything)} tokens are not learned from the training texts alone"


LAB = Lab(
    question="What does this do to the test accuracy?",
    metric="test accuracy",
    caught_by="learning the tokenizer again from the training texts alone, and comparing:",
    lesson="A leak of texts without labels may be too small to measure, and it is a leak all the same: nobody knows "
    "its size in advance, and to learn from the training rows alone costs nothing.",
    check=check,
)

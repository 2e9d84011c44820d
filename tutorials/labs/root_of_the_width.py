"""Scores are divided by the root of the model's width

Seen in a notebook, and in tutorials before it: attention scores were divided by the root of D, the model's width, in
place of K, the width of a head. Scores then vary less than they should, and every token looks at all others almost
evenly. One would expect attention to lose what it is for.
"""

import math

import numpy as np
from _small import RATE, accuracy, reviews, run_epochs, small_model

from minitx.autograd import functional as F
from minitx.data.split import split
from minitx.learn.labs import Lab
from minitx.nn.attention import MultiHeadAttention
from minitx.training.optim import AdamW


def right(D, H):
    """What attention scores are divided by, in a model D wide with H heads."""
    return math.sqrt(D // H)


def wrong(D, H):
    """What attention scores are divided by, in a model D wide with H heads."""
    return math.sqrt(D)


class Attention(MultiHeadAttention):
    """Multi-head attention whose scores are divided by `divisor`."""

    def forward(self, x, attention_mask=None, bias=None):
        q = self.query(x) * (math.sqrt(x.shape[-1] // self.num_heads) / self.divisor)  # F.attention divides by √K
        attended = F.attention(q, self.key(x), self.value(x), self.num_heads, attention_mask, bias)
        return self.out(attended)


def entropy(divisor, K, T=64):
    """Mean entropy of attention weights whose queries and keys (T, K) are normally distributed."""
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(T, K)) @ rng.normal(size=(K, T)) / divisor
    p = np.exp(scores) / np.exp(scores).sum(axis=-1, keepdims=True)
    return -(p * np.log(p)).sum(axis=-1).mean()


def measure(variant, seed, full):
    parts = split(reviews(full), seed=seed)
    model = small_model(parts.train, seed)
    D, H = model.encoder.config.hidden_size, model.encoder.config.num_heads
    attention = Attention(D, H, rng=np.random.default_rng(seed))
    attention.divisor = variant(D, H)
    model.encoder.transformer.blocks[0].attention = attention
    run_epochs(model, parts.train, AdamW(model.parameters(), lr=RATE), 6, seed)
    return {"test accuracy": accuracy(model, parts.test), "entropy of random attention": entropy(variant(D, H), D // H)}


def check():
    """Entropies beside the largest possible, that of looking everywhere alike."""
    found = {f.__name__: f"{entropy(f(64, 4), 16):.2f}" for f in (right, wrong)}
    return f"entropy for 64 tokens: right {found['right']}, wrong {found['wrong']}, at most {math.log(64):.2f}"


LAB = Lab(
    question="What does this do to the test accuracy?",
    metric="test accuracy",
    caught_by="the entropy of attention on random queries and keys, or a comparison with minitx.learn.plain.attention:",
    lesson="Weights can grow to make up for a wrong constant, so training may hide it. A formula is checked against "
    "numbers that are known before training, not by the score of a trained model.",
    check=check,
)

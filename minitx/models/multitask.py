"""MultiTaskModel: one encoder, any number of named heads, one summed loss."""

import re
from collections.abc import Mapping, Sequence

import numpy as np

from minitx.autograd import functional as F
from minitx.autograd.engine import no_grad
from minitx.autograd.tensor import Tensor
from minitx.errors import InputError
from minitx.models.encoder import SentenceEncoder
from minitx.nn.layers import Dropout, Linear
from minitx.nn.module import Module


class MultiTaskModel(Module):
    """Sentence vectors from one shared encoder, and one linear classifier (a head) for each task.

    Args:
        encoder: the shared part, ids (B, T) -> (B, D).
        heads: name -> number of classes, or the classes' names: `{"sentiment": 3, "topic": ["app", "price"]}`.
        dropout: of the sentence vector, before the heads, while training.
        rng: draws the heads' weights.

    Heads start so small that every class is equally likely: the first loss of a head is ln(C). Caruana 1997,
    "Multitask Learning".

    Raises:
        InputError: a head's name is more than letters, digits, _ and -.
    """

    def __init__(
        self,
        encoder: SentenceEncoder,
        heads: Mapping[str, int | Sequence[str]],
        dropout: float = 0.1,
        *,
        rng: np.random.Generator,
    ) -> None:
        for name in heads:
            if not re.fullmatch(r"[\w-]+", name):  # it becomes part of weight names and of file names
                raise InputError(f"head name {name!r}: use letters, digits, _ and - only")
        self.encoder = encoder
        self.classes = {
            head: tuple(map(str, range(classes) if isinstance(classes, int) else classes))
            for head, classes in heads.items()
        }
        self.dropout = Dropout(dropout, rng=rng)
        self.heads = {
            head: Linear(encoder.config.hidden_size, len(classes), rng=rng) for head, classes in self.classes.items()
        }
        for head in self.heads.values():
            head.weight.data *= 0.1
            head.bias.data *= 0  # type: ignore[union-attr]  # Linear's bias is optional, a head's is not

    def forward(self, ids: np.ndarray, attention_mask: np.ndarray) -> dict[str, Tensor]:
        """ids (B, T), attention_mask (B, T) with True = a real token -> logits (B, C) for each head."""
        vectors = self.dropout(self.encoder(ids, attention_mask))  # (B, D)
        return {name: head(vectors) for name, head in self.heads.items()}

    def losses(
        self,
        logits: Mapping[str, Tensor],
        labels: Mapping[str, np.ndarray],
        class_weights: Mapping[str, np.ndarray] | None = None,
        label_smoothing: float = 0.0,
        divisors: Mapping[str, float] | None = None,
    ) -> dict[str, Tensor]:
        """Cross-entropy of each head, a mean over the batch; labels (B,), -100 where a row has none for that task.

        For a share of a batch, `divisors` holds the whole batch's `functional.target_weight` for each head.
        """
        weights, divisors = class_weights or {}, divisors or {}
        return {
            name: F.cross_entropy(
                logits[name],
                labels[name],
                weights.get(name),
                label_smoothing=label_smoothing,
                divisor=divisors.get(name),
            )
            for name in self.heads
        }

    def predict_proba(self, texts: Sequence[str], batch_size: int = 32) -> dict[str, np.ndarray]:
        """Class probabilities of each text, (N, C) for each head, in the order of `self.classes`."""
        vectors = self.encoder.encode(texts, batch_size)
        with no_grad():
            return {name: F.softmax(head(Tensor(vectors))).data for name, head in self.heads.items()}

    def predict(self, texts: Sequence[str], batch_size: int = 32) -> list[dict[str, tuple[str, float]]]:
        """The most probable class of each text, as (label, probability) for each head."""
        best = {
            name: [(self.classes[name][row.argmax()], float(row.max())) for row in probabilities]
            for name, probabilities in self.predict_proba(texts, batch_size).items()
        }
        return [dict(zip(best, row, strict=True)) for row in zip(*best.values(), strict=True)]

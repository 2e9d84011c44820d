"""MultiTaskModel: one encoder, any number of named heads."""

import importlib
import math
import warnings
from collections.abc import Mapping, Sequence
from functools import partial
from os import PathLike
from pathlib import Path

import numpy as np

from minitx.autograd import functional as F
from minitx.autograd.context import inference
from minitx.autograd.tensor import Tensor
from minitx.models.answers import Answers
from minitx.models.encoder import SentenceEncoder
from minitx.models.heads import Head, checked_heads, new_head
from minitx.nn.layers import Dropout
from minitx.nn.module import Module
from minitx.system import one_blas_thread
from minitx.text.tokenizer import check_list
from minitx.writing import new_directory


class MultiTaskModel(Module):
    """Sentence vectors from one shared encoder, and one classifier (a head) for each task.

    Args:
        encoder: the shared part, ids (B, T) -> (B, D).
        heads: name -> number of classes, or the classes' names: `{"sentiment": 3, "topic": ["app", "price"]}`.
        dropout: of the sentence vector, before the heads, while training; and inside heads with a hidden layer.
        hidden: width of the heads' hidden layer; 0 for linear heads.
        kinds: head -> one of `heads.HEAD_KINDS`, for classes in an order; the others are "softmax".
        rng: draws the heads' weights.

    Heads start so small that every class is equally likely: the first loss of a head is ln(C). If the encoder scales
    its vectors to length 1, the heads see them times √D: components of 1/√D would leave the logits, and so the
    gradients, far too small. Caruana 1997, "Multitask Learning".

    Raises:
        InputError: a head's name is more than letters, digits, _ and -; or what `checked_heads` refuses.
    """

    def __init__(
        self,
        encoder: SentenceEncoder,
        heads: Mapping[str, int | Sequence[str]],
        dropout: float = 0.1,
        hidden: int = 0,
        kinds: Mapping[str, str] | None = None,
        *,
        rng: np.random.Generator,
    ) -> None:
        self.classes, self.kinds = checked_heads(encoder, heads, kinds or {})
        self.encoder, self.dropout = encoder, Dropout(dropout, rng=rng)
        self.hidden, dim = hidden, encoder.config.width
        self.scale = math.sqrt(dim) if encoder.config.normalize else 1.0
        self.heads: dict[str, Head] = {
            head: new_head(self.kinds[head], dim, hidden, len(c), dropout, rng=rng) for head, c in self.classes.items()
        }
        # What is done to logits before they are an answer, by `training.stacking`; what minitx.json says of training.
        self.answers, self.told = Answers(), dict[str, object]()

    @staticmethod
    def from_pretrained(directory: str | PathLike[str]) -> "MultiTaskModel":
        """The model that `minitx train` or `save_pretrained` left in a directory.

        It is `training.checkpoint.load_model`, from a later room.
        """
        return importlib.import_module("minitx.training.checkpoint").load_model(directory)

    def save_pretrained(self, directory: str | PathLike[str], overwrite: bool = False) -> None:
        """Write a directory for `from_pretrained`, or nothing; its encoder, which others read too, is in it.

        `InputError` if it exists (with `overwrite`, if it is no model's). It is `training.checkpoint.save_model`.
        """
        with new_directory(Path(directory), overwrite) as path:
            importlib.import_module("minitx.training.checkpoint").save_model(self, path)

    def forward(self, ids: np.ndarray, attention_mask: np.ndarray) -> dict[str, Tensor]:
        """ids (B, T), attention_mask (B, T) with True = a real token -> logits (B, C) for each head."""
        return self.classify(self.encoder(ids, attention_mask))

    def classify(self, vectors: Tensor) -> dict[str, Tensor]:
        """Sentence vectors (B, D) of the encoder -> logits (B, C) for each head."""
        shared = self.dropout(vectors) * self.scale
        return {name: head(shared) for name, head in self.heads.items()}

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
        loss = partial(F.cross_entropy, label_smoothing=label_smoothing)
        return {
            name: loss(logits[name], labels[name], weights.get(name), divisor=divisors.get(name)) for name in self.heads
        }

    def predict_proba(self, texts: Sequence[str], batch_size: int = 32) -> dict[str, np.ndarray]:
        """Class probabilities of each text, (N, C) for each head, in the order of `self.classes`."""
        check_list(texts)
        return self.probabilities(self.encoder.encode_ids(self.encoder.tokenize(texts), batch_size), texts)

    def probabilities(self, vectors: np.ndarray, texts: Sequence[str] | None = None) -> dict[str, np.ndarray]:
        """Class probabilities from sentence vectors (N, D): (N, C) for each head.

        The `texts` are needed if words count beside the vectors (`answers`).
        """
        return self.answers.probabilities(self.logits(vectors), texts)

    def logits(self, vectors: np.ndarray) -> dict[str, np.ndarray]:
        """What the heads make of sentence vectors (N, D), without dropout or a graph: (N, C) for each."""
        with inference(), one_blas_thread():  # the bits must not depend on what other threads do
            return {name: y.data for name, y in self.classify(Tensor(vectors)).items()}

    def predict(self, texts: Sequence[str], batch_size: int = 32) -> list[dict[str, tuple[str, float]]]:
        """The answer to each text, as (label, probability) for each head: the most probable class, but for offsets."""
        best, found = {}, self.predict_proba(texts, batch_size)
        warn_of_blank(texts)
        for name, rows in found.items():
            chosen = self.answers.decide(name, rows)
            best[name] = [(self.classes[name][i], float(row[i])) for i, row in zip(chosen, rows, strict=True)]
        return [dict(zip(best, row, strict=True)) for row in zip(*best.values(), strict=True)]


def warn_of_blank(texts: Sequence[str]) -> None:
    """One warning for all texts of which no answer means anything."""
    if blank := sum(isinstance(text, str) and not text.strip() for text in texts):
        warnings.warn(f"{blank:,} of {len(texts):,} texts are blank: their answers mean nothing", stacklevel=3)

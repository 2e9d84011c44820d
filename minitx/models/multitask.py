"""MultiTaskModel: one encoder, any number of named heads; TaskWeights: one loss out of several."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from minitx.autograd import functional as F
from minitx.autograd.context import inference
from minitx.autograd.tensor import Tensor
from minitx.errors import InputError
from minitx.models.encoder import SentenceEncoder
from minitx.nn.layers import Dropout, Linear
from minitx.nn.module import Module, Parameter

# Parts that have a name of their own; see `training.freezing`.
PARTS = ("everything", "backbone", "heads", "embeddings", "upper", "lower")


class MLP(Module):
    """A head with one hidden layer: y = W2 dropout(relu(W1 x + b1)) + b2, (B, D) -> (B, C).

    `linear1` (F, D), `linear2` (C, F). Torch: `Sequential(Linear(D, F), ReLU(), Dropout(p), Linear(F, C))`.
    """

    def __init__(self, dim: int, hidden: int, classes: int, dropout: float = 0.1, *, rng: np.random.Generator) -> None:
        self.linear1 = Linear(dim, hidden, rng=rng)
        self.dropout = Dropout(dropout, rng=rng)
        self.linear2 = Linear(hidden, classes, rng=rng)

    def forward(self, x: Tensor) -> Tensor:
        """(B, D) -> (B, C)."""
        return self.linear2(self.dropout(F.relu(self.linear1(x))))


class MultiTaskModel(Module):
    """Sentence vectors from one shared encoder, and one classifier (a head) for each task.

    Args:
        encoder: the shared part, ids (B, T) -> (B, D).
        heads: name -> number of classes, or the classes' names: `{"sentiment": 3, "topic": ["app", "price"]}`.
        dropout: of the sentence vector, before the heads, while training; and inside heads with a hidden layer.
        hidden: width of the heads' hidden layer; 0 for linear heads.
        rng: draws the heads' weights.

    Heads start so small that every class is equally likely: the first loss of a head is ln(C). If the encoder scales
    its vectors to length 1, the heads see them times √D: components of 1/√D would leave the logits, and so the
    gradients, far too small. Caruana 1997, "Multitask Learning".

    Raises:
        InputError: a head's name is more than letters, digits, _ and -.
    """

    def __init__(
        self,
        encoder: SentenceEncoder,
        heads: Mapping[str, int | Sequence[str]],
        dropout: float = 0.1,
        hidden: int = 0,
        *,
        rng: np.random.Generator,
    ) -> None:
        check_head_names(heads)
        self.encoder = encoder
        self.classes = {
            head: tuple(map(str, range(classes) if isinstance(classes, int) else classes))
            for head, classes in heads.items()
        }
        self.dropout = Dropout(dropout, rng=rng)
        self.hidden = hidden
        dim = encoder.config.hidden_size
        self.scale = math.sqrt(dim) if encoder.config.normalize else 1.0
        self.heads: dict[str, Linear | MLP] = {
            head: MLP(dim, hidden, len(classes), dropout, rng=rng) if hidden else Linear(dim, len(classes), rng=rng)
            for head, classes in self.classes.items()
        }
        for head in self.heads.values():
            last = head.linear2 if isinstance(head, MLP) else head
            last.weight.data *= 0.1
            last.bias.data *= 0  # type: ignore[union-attr]  # Linear's bias is optional, a head's is not

    def forward(self, ids: np.ndarray, attention_mask: np.ndarray) -> dict[str, Tensor]:
        """ids (B, T), attention_mask (B, T) with True = a real token -> logits (B, C) for each head."""
        return self.classify(self.encoder(ids, attention_mask))

    def classify(self, vectors: Tensor) -> dict[str, Tensor]:
        """Sentence vectors (B, D) of the encoder -> logits (B, C) for each head."""
        shared = self.dropout(vectors)
        if self.scale != 1:
            shared = shared * self.scale
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
        if isinstance(texts, str):
            raise InputError("predict takes a list of texts, not one str")
        vectors = self.encoder.encode(texts, batch_size)
        with inference():
            return {name: F.softmax(y).data for name, y in self.classify(Tensor(vectors)).items()}

    def predict(self, texts: Sequence[str], batch_size: int = 32) -> list[dict[str, tuple[str, float]]]:
        """The most probable class of each text, as (label, probability) for each head."""
        best = {
            name: [(self.classes[name][row.argmax()], float(row.max())) for row in probabilities]
            for name, probabilities in self.predict_proba(texts, batch_size).items()
        }
        return [dict(zip(best, row, strict=True)) for row in zip(*best.values(), strict=True)]


def check_head_names(names: Iterable[str]) -> None:
    """`InputError` for a name that cannot be part of weight and file names, or that means another part of the model."""
    for name in names:
        if not re.fullmatch(r"[\w-]+", name):
            raise InputError(f"head name {name!r}: use letters, digits, _ and - only")
        if name in PARTS:
            raise InputError(f"head name {name!r}: {', '.join(PARTS)} are names of other parts of the model")


class TaskWeights(Module):
    """How much each task counts, by weights that are fixed, total = sum_t w_t L_t, or learned as uncertainties:

        total = sum_t exp(-s_t) L_t + s_t / 2

    where s_t = log σ_t² is the log variance of task t and starts at 0. At rest exp(-s_t) = 1 / (2 L_t): a task with a
    large loss counts less. The total may become negative, which means nothing. Weight decay must leave s alone, since
    it would pull every task towards the same weight. Kendall, Gal & Cipolla 2018, section 3.2 (classification).

    The weights are no part of the model: they are not needed to predict.
    """

    def __init__(self, tasks: Iterable[str], fixed: Mapping[str, float] | None = None, learned: bool = False) -> None:
        self.tasks = tuple(tasks)
        unknown = [task for task in fixed or {} if task not in self.tasks]
        if unknown:
            raise InputError(f"task_weights: there is no head {unknown[0]!r}: there is {', '.join(self.tasks)}")
        if fixed and learned:
            raise InputError("task_weights are fixed or learned, not both: leave one of the two out")
        self.fixed = {task: float((fixed or {}).get(task, 1.0)) for task in self.tasks}
        self.log_variance = Parameter(np.zeros(len(self.tasks), np.float32)) if learned else None

    def current(self) -> dict[str, float]:
        """The factor of each task's loss now."""
        if self.log_variance is None:
            return self.fixed
        return {task: math.exp(-float(s)) for task, s in zip(self.tasks, self.log_variance.data, strict=True)}

    def forward(self, losses: Tensor) -> Tensor:
        """Losses (tasks,) -> the one number that training brings down.

        A loss of exactly 0 is that of a task without a label in the batch, from which s learns nothing.
        """
        if self.log_variance is None:
            return (losses * Tensor(np.array(list(self.fixed.values()), losses.dtype))).sum()
        labelled = Tensor((losses.data != 0).astype(losses.dtype))
        return (labelled * ((-self.log_variance).exp() * losses + self.log_variance * 0.5)).sum()

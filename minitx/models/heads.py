"""How does a sentence vector become one number for each class? Linear, with a hidden layer, or along an order.

Every head gives logits (B, C) for `functional.cross_entropy`. Those of the ordinal heads are log-probabilities already,
of which a softmax changes nothing: their cross-entropy is the likelihood of the order's own model, and whatever reads
logits (weights of classes, smoothing, attribution, calibration) works with them too.
"""

import re
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from minitx.autograd import functional as F
from minitx.autograd.tensor import Tensor, cat
from minitx.errors import InputError
from minitx.nn.layers import Dropout, Linear
from minitx.nn.module import Module, Parameter


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


class Ordinal(Module):
    """Classes in an order, as stars are: one score s, and C - 1 ascending cuts on its axis, (B, D) -> (B, C).

        P(y <= k) = σ(cut_k - s) ;  logits_k = log P(y = k) = log(σ(cut_k - s) - σ(cut_{k-1} - s))

    The cuts ascend because each lies g² + 0.000001 above the one before, where g is what is learned (`roots`). And
    σ(b) - σ(a) = σ(b) σ(-a) (1 - exp(a - b)) keeps the logarithm exact far from the cuts. The proportional odds model:
    McCullagh 1980, "Regression Models for Ordinal Data", section 2. statsmodels: `OrderedModel`.

    Args:
        body: a layer (B, D) -> (B, 1).
        classes: C, at least 2. The cuts start where all classes are equally likely at s = 0.
    """

    def __init__(self, body: Linear | MLP, classes: int) -> None:
        share = np.arange(1, classes) / classes
        cuts = np.log(share / (1 - share)).astype(np.float32)
        self.body, self.first, self.roots = body, Parameter(cuts[:1]), Parameter(np.sqrt(np.diff(cuts)))

    def forward(self, x: Tensor) -> Tensor:
        """(B, D) -> log-probabilities (B, C)."""
        s, gaps = self.body(x), self.roots * self.roots + LEAST_GAP
        ladder = np.triu(np.ones((len(gaps), len(gaps) + 1), gaps.dtype), 1)  # cut_k = first + sum of the gaps below it
        z = self.first + gaps @ Tensor(ladder) - s  # (B, C - 1)
        outer, end = Tensor(np.zeros(1, gaps.dtype)), Tensor(np.zeros(s.shape, s.dtype))
        t = (gaps / 2).tanh()  # 1 - exp(-gap) = 2 t / (1 + t), which a small gap does not round away
        between = cat([outer, (2 * t / (1 + t)).log(), outer])
        return cat([log_sigmoid(z), end], 1) + cat([end, log_sigmoid(-z)], 1) + between


class Corn(Module):
    """Classes in an order as a row of questions, "does it go further than k?", each with its own weights.

        P(y > k | y >= k) = σ(z_k) ;  logits_k = log P(y = k) = sum_{j<k} log σ(z_j) + log σ(-z_k)

    Unlike `Ordinal` the questions may depend on different words. Shi, Cao & Raschka 2023, "Deep Neural Networks for
    Rank-Consistent Ordinal Regression Based On Conditional Probabilities", equations 4 and 5; each row's loss is the
    sum over the questions it was asked. `coral_pytorch.losses.corn_loss` divides by the number of questions instead of
    rows.

    `body` is a layer (B, D) -> (B, C - 1).
    """

    def __init__(self, body: Linear | MLP) -> None:
        self.body = body

    def forward(self, x: Tensor) -> Tensor:
        """(B, D) -> log-probabilities (B, C)."""
        z = self.body(x)
        further = Tensor(np.triu(np.ones((z.shape[1], z.shape[1]), z.dtype)))
        end = Tensor(np.zeros((len(z), 1), z.dtype))
        return cat([end, log_sigmoid(z) @ further], 1) + cat([log_sigmoid(-z), end], 1)


LEAST_GAP = 1e-6  # between two cuts
Head = Linear | MLP | Ordinal | Corn
HEAD_KINDS = ("softmax", "ordinal", "corn")
# Parts of a model that have a name of their own; see `training.freezing`.
PARTS = ("everything", "encoder", "backbone", "heads", "embeddings", "upper", "lower")


def log_sigmoid(x: Tensor) -> Tensor:
    """log σ(x) = -log(1 + exp(-x)), elementwise and without overflow. Torch: `functional.logsigmoid`."""
    shift = Tensor(np.maximum(-x.data, 0))  # a constant: log σ(x) = -log(exp(-shift) + exp(-x - shift)) - shift
    return -((-shift).exp() + (-x - shift).exp()).log() - shift


def new_head(kind: str, dim: int, hidden: int, classes: int, dropout: float, *, rng: np.random.Generator) -> Head:
    """A head of one of `HEAD_KINDS` that finds every class equally likely, or nearly; `hidden` 0 for a linear one.

    The last layer starts small, so that the first loss is about ln(C). `InputError` for another kind, or an order of
    fewer than two classes.
    """
    if kind not in HEAD_KINDS or (kind != "softmax" and classes < 2):
        raise InputError(f"a head of kind {kind!r} with {classes} classes: kinds are {', '.join(HEAD_KINDS)}")
    outputs = {"softmax": classes, "ordinal": 1, "corn": classes - 1}[kind]
    body = MLP(dim, hidden, outputs, dropout, rng=rng) if hidden else Linear(dim, outputs, rng=rng)
    last = body.linear2 if isinstance(body, MLP) else body
    last.weight.data *= 0.1
    start = np.log(np.arange(outputs, 0, -1)) if kind == "corn" else 0  # P(y > k | y >= k) = (C - 1 - k) / (C - k)
    last.bias.data[...] = start  # type: ignore[union-attr]  # Linear's bias is optional, a head's is not
    return body if kind == "softmax" else Ordinal(body, classes) if kind == "ordinal" else Corn(body)


def checked_heads(
    encoder: Module, heads: Mapping[str, int | Sequence[str]], kinds: Mapping[str, str]
) -> tuple[dict[str, tuple[str, ...]], dict[str, str]]:
    """Head -> its classes' names, and head -> its kind.

    `InputError` if there is no head, if classes are not at least two and all different, if a kind is of no head, and if
    the encoder is a name.
    """
    if isinstance(encoder, str):
        raise InputError(f"the encoder is a name: expected SentenceEncoder.from_pretrained({encoder!r:.100})")
    if not heads or not isinstance(heads, Mapping):
        raise InputError(f"heads is {heads!r:.60}: expected name -> number of classes, or their names in a list")
    check_head_names(heads)
    for head, given in heads.items():
        names = range(given) if isinstance(given, int) else given
        different = isinstance(names, range | list | tuple) and {*map(str, names)} - {"", "None"}
        if not different or len(names) != len(different) or len(different) < 2:
            expected = "expected a number of classes, or a list of different names, at least 2"
            raise InputError(f"head {head}: {given!r:.60}; {expected}")
    if strangers := kinds.keys() - heads.keys():
        raise InputError(f"kinds are of heads that it has not: {', '.join(map(str, strangers)):.200}")
    classes = {head: tuple(map(str, range(c) if isinstance(c, int) else c)) for head, c in heads.items()}
    return classes, dict.fromkeys(classes, "softmax") | dict(kinds)


def check_head_names(names: Iterable[str]) -> None:
    """`InputError` for a name that cannot be part of weight and file names, or that means another part of the model."""
    for name in names:
        if not (isinstance(name, str) and re.fullmatch(r"[\w-]+", name)):
            raise InputError(f"head name {name!r}: use letters, digits, _ and - only")
        if name in PARTS:
            raise InputError(f"head name {name!r}: {', '.join(PARTS)} are names of other parts of the model")

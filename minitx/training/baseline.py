"""What does a transformer have to beat? A bag of words: which words occur, in any order, and one linear layer.

TF-IDF with logistic regression is the honest rival of any text classifier: it trains in seconds, has no seed, and on a
few thousand short reviews it is hard to beat. An accuracy that is not printed beside it says little.

    x[t] = idf[t] / norm   if term t occurs in the text, else 0;    idf[t] = ln((1 + N) / (1 + df[t])) + 1
    p = softmax(W x + b),  minimising  mean cross-entropy + ‖W‖² / 2N

Terms are words, single signs and emoji, and pairs of neighbours; df[t] is the number of training texts with term t, and
terms that occur in a single training text are left out, unless all do. Salton & Buckley 1988. The tests compare it with
scikit-learn's `TfidfVectorizer(binary=True, ngram_range=(1, 2), min_df=2, token_pattern=TERM)` and
`LogisticRegression()`. (For two classes scikit-learn keeps one vector of weights, minitx two; its `C=2` is the same.)

With `characters`, runs of 2 to 5 characters within a word are terms as well, in a vector of length 1 of their own: they
see through endings, spelling and typing errors. That bag is no rival but a part of the model: `models.answers`.
"""

import dataclasses
import json
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import safetensors.numpy

from minitx.autograd import functional as F
from minitx.autograd.context import inference
from minitx.autograd.engine import Gradients
from minitx.autograd.tensor import Tensor
from minitx.data.split import LabelledTexts
from minitx.errors import InputError
from minitx.evaluation.leakage import fingerprints
from minitx.evaluation.metrics import Costs, Report, report_heads
from minitx.models.weights import read_tensors
from minitx.nn.layers import Linear
from minitx.nn.module import Module
from minitx.system import Bar
from minitx.training.optim import Adam
from minitx.training.schedules import LambdaLR, factor

TERM = r"\w+|[^\w\s]"
MIN_TEXTS, MIN_TEXTS_RUN = 2, 3  # training texts that a term, or a run of characters, must occur in
RUNS = range(2, 6)  # characters of a run
RUN = "\N{HORIZONTAL ELLIPSIS}"  # before a run of characters; a pair that begins with this sign goes on with a space
STEPS, LR = 100, 0.5  # of Adam on all rows at once, the rate falling to 0: the loss is convex, so luck has no part


class SparseRows(NamedTuple):
    """A matrix (N, V) by its entries other than 0: `values[i]` stands in row `rows[i]`, column `columns[i]`."""

    rows: np.ndarray
    columns: np.ndarray
    values: np.ndarray
    shape: tuple[int, int]


def sparse_linear(x: SparseRows, w: Tensor, b: Tensor) -> Tensor:
    """y = x wᵀ + b for a sparse x (N, V), with w (C, V), b (C,) -> (N, C). Torch: `functional.embedding_bag`.

    Fused for scatter: of the N x V products it computes the few that are not 0. `np.bincount` sums them by row and, in
    the gradient, by column.
    """
    # y[n, c] = sum_t x[n, t] w[c, t] + b[c] ;  dw[c, t] = sum_n dy[n, c] x[n, t] ;  db = 1ᵀ dy
    N, V = x.shape
    y = np.stack([np.bincount(x.rows, x.values * weights[x.columns], minlength=N) for weights in w.data], axis=1)

    def backward(dy: np.ndarray) -> Gradients:
        dw = np.stack([np.bincount(x.columns, x.values * column[x.rows], minlength=V) for column in dy.T])
        return dw.astype(w.dtype), dy.sum(axis=0)

    return Tensor.from_op(y.astype(w.dtype) + b.data, (w, b), backward)


def terms_of(text: str) -> set[str]:
    """Words, single signs and emoji, in lower case, and pairs of neighbours.

    >>> sorted(terms_of("Good, good!"))
    ['!', ',', ', good', 'good', 'good !', 'good ,']
    """
    words = re.findall(TERM, text.lower())
    return {*words, *(f"{first} {second}" for first, second in pairwise(words))}


def runs_of(text: str) -> set[str]:
    """Runs of characters within words, in lower case, where < and > stand for a word's beginning and end.

    Bojanowski et al. 2017, section 3.2. About scikit-learn's `TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5))`.

    >>> sorted(runs_of("Go"))
    ['…<g', '…<go', '…<go>', '…go', '…go>', '…o>']
    """
    words = {f"<{word}>" for word in re.findall(r"\S+", text.lower())}
    return {RUN + word[i : i + n] for word in words for n in RUNS for i in range(len(word) - n + 1)}


class BagOfWords(Module):
    """TF-IDF and one linear classifier for each head; `BagOfWords.fit(train)` makes a trained one.

    Args:
        idf: term -> its weight.
        classes: head -> names of its classes.
        trained_on: `fingerprints` of the training texts, with which `knows` recognises them.
    """

    def __init__(self, idf: Mapping[str, float], classes: Mapping[str, Sequence[str]], trained_on: np.ndarray) -> None:
        self.columns = {term: column for column, term in enumerate(idf)}
        self.is_run = np.array([term[:1] == RUN and term[1:2] not in ("", " ") for term in idf], dtype=bool)
        self.idf = np.array(list(idf.values()), np.float32)
        self.classes = {head: tuple(names) for head, names in classes.items()}
        self.trained_on = trained_on
        rng = np.random.default_rng(0)  # what it draws is replaced at once: a convex loss may start from 0
        self.heads = {head: Linear(len(idf), len(names), rng=rng) for head, names in self.classes.items()}
        for parameter in self.parameters():
            parameter.data[...] = 0

    def vectorise(self, texts: Sequence[str]) -> SparseRows:
        """TF-IDF of each text, scaled to length 1: (N, V) float32. Terms unknown to training are skipped."""
        characters, column = self.is_run.any(), self.columns.get
        found = (terms_of(text) | (runs_of(text) if characters else set()) for text in texts)
        known = [sorted(c for term in terms if (c := column(term)) is not None) for terms in found]
        rows = np.repeat(np.arange(len(texts)), [len(columns) for columns in known])
        columns = np.array([column for row in known for column in row], dtype=np.int64)
        values, part = self.idf[columns], 2 * rows + self.is_run[columns]  # runs are a vector of their own
        norms = np.sqrt(np.bincount(part, values * values))
        return SparseRows(rows, columns, (values / norms[part]).astype(np.float32), (len(texts), len(self.columns)))

    def forward(self, x: SparseRows) -> dict[str, Tensor]:
        """TF-IDF (N, V) -> logits (N, C) for each head."""
        # These heads have a bias, which is optional elsewhere.
        return {name: sparse_linear(x, h.weight, h.bias) for name, h in self.heads.items()}  # type: ignore[arg-type]

    @classmethod
    def fit(cls, train: LabelledTexts, *, characters: bool = False, progress: bool = False) -> "BagOfWords":
        """Learn terms, their weights and the classifiers from `train` alone; the same rows give the same bits.

        With `characters`, runs of them are terms as well. `InputError` if there is not one word in the texts.
        """
        counts = Counter(term for text in train.texts for term in terms_of(text))
        kept = sorted(term for term, texts in counts.items() if texts >= MIN_TEXTS) or sorted(counts)
        if characters:
            runs = Counter(run for text in train.texts for run in runs_of(text))
            counts += runs
            kept += sorted(run for run, texts in runs.items() if texts >= MIN_TEXTS_RUN)
        if not kept:
            raise InputError(f"bag of words: not one word in {len(train):,} training texts")
        N = len(train)
        idf = {term: np.log((1 + N) / (1 + counts[term])) + 1 for term in kept}
        model = cls(idf, train.classes, np.unique(fingerprints(train.texts)))
        x = model.vectorise(train.texts)
        weights, biases = ([p for n, p in model.named_parameters() if n.endswith(kind)] for kind in ("weight", "bias"))
        groups = [{"params": weights, "weight_decay": 1 / N}, {"params": biases}]  # Adam's decay, ‖W‖² / 2N in the loss
        optimizer = Adam(groups, lr=LR)
        schedule = LambdaLR(optimizer, factor("linear", 0, STEPS))
        for _ in Bar(range(STEPS), desc="bag of words", unit=" steps", disable=not progress, leave=False):
            optimizer.zero_grad()
            losses = (F.cross_entropy(logits, train.labels[head]) for head, logits in model(x).items())
            sum(losses, start=Tensor(0.0)).backward()
            optimizer.step()
            schedule.step()
        return model

    def predict_proba(self, texts: Sequence[str]) -> dict[str, np.ndarray]:
        """Class probabilities of each text, (N, C) for each head, in the order of `self.classes`."""
        with inference():
            return {head: F.softmax(logits).data for head, logits in self(self.vectorise(texts)).items()}

    def evidence(self, text: str, head: str, c: int) -> dict[str, float]:
        """What each term of a text adds to the logit of class c, above the mean of the classes: exactly."""
        x, w, terms = self.vectorise([text]), self.heads[head].weight.data, list(self.columns)
        values = x.values * (w[c] - w.mean(axis=0))[x.columns]
        return {terms[column]: float(value) for column, value in zip(x.columns, values, strict=True)}

    def evaluate(
        self, data: LabelledTexts, costs: Mapping[str, Costs] | None = None, ordered: Collection[str] = ()
    ) -> dict[str, Report]:
        """A report for each head; `costs` and `ordered` as in `report_heads`."""
        return report_heads(data.labels, self.predict_proba(data.texts), self.classes, None, costs, ordered)

    def beside(self, reports: Mapping[str, Report], data: LabelledTexts) -> dict[str, Report]:
        """A model's reports on `data`, each with that of this bag of words on the same rows."""
        costs, ordered = {h: report.costs for h, report in reports.items()}, [h for h in reports if reports[h].ordered]
        own = self.evaluate(data, costs, ordered)
        return {head: dataclasses.replace(report, bag_of_words=own[head]) for head, report in reports.items()}

    def knows(self, texts: Sequence[str]) -> np.ndarray:
        """(N,) bool: which of the texts are in the training rows, apart from case and punctuation."""
        return np.isin(fingerprints(texts), self.trained_on)

    def save(self, path: Path) -> None:
        """One .safetensors file: the weights, and the terms and classes as its metadata.

        Under one key: several are written in another order each time, and the same rows would give other bytes.
        """
        names = json.dumps({"terms": list(self.columns), "classes": self.classes})
        arrays = {**self.state_dict(), "idf": self.idf, "trained_on": self.trained_on}
        path.write_bytes(safetensors.numpy.save(arrays, {"names": names}))

    @classmethod
    def load(cls, path: Path) -> "BagOfWords":
        """What `save` wrote; `InputError` for any other file."""
        try:
            arrays, metadata = read_tensors(path)
            names = {name: json.loads(value) for name, value in metadata.items()}
            names = names.get("names", names)  # older files have a key for each
            weights, trained_on = arrays.pop("idf"), arrays.pop("trained_on")
            right = weights.ndim == trained_on.ndim == 1 and trained_on.dtype == np.uint64
            if not right or weights.min() < 1 or weights.max() > 100:
                raise ValueError("idf holds what no counts make, or trained_on no fingerprints")
            idf = dict(zip(names["terms"], weights.tolist(), strict=True))
            for head, labels in names["classes"].items():  # before memory is asked for them
                if not isinstance(labels, list) or arrays[f"heads.{head}.weight"].shape != (len(labels), len(idf)):
                    raise ValueError(f"{head} has {len(labels)} classes and {len(idf)} terms, its weights have not")
            model = cls(idf, names["classes"], trained_on)
            model.load_state_dict(arrays)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise InputError(f"{path} is not a bag of words that minitx saved: {error}") from error
        return model

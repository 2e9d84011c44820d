"""`minitx train` and sentence vectors as scikit-learn's estimators, for pipelines, grids and cross-validation.

    from minitx.sklearn import MultiTaskClassifier, SentenceVectors

Only this file needs scikit-learn. docs/scikit-learn.md says which of its checks apply to estimators of texts.
"""

# mypy: disallow-subclassing-any=False

import logging
from collections.abc import Mapping
from dataclasses import dataclass, make_dataclass
from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import assert_all_finite, check_consistent_length
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from minitx.app.experiment import stack, train
from minitx.app.prepare import prepare
from minitx.app.settings import DEFAULTS, Experiment
from minitx.data.rules import NO_LABEL
from minitx.data.split import LabelledTexts
from minitx.errors import InputError
from minitx.models.encoder import SentenceEncoder
from minitx.models.multitask import warn_of_blank

# Of files, and of the report on a test.
NOT_HERE = ["data", "text", "labels", "rules", "words", "two_stage", "encoding"]
FIELDS = [(name, Any, None if value == {} else value) for name, value in DEFAULTS.items() if name not in NOT_HERE]
Settings: Any = make_dataclass("MultiTaskClassifier", FIELDS, kw_only=True, eq=False, repr=False)


class OfTexts(BaseEstimator):
    """What scikit-learn is told of both estimators."""

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string, tags.input_tags.one_d_array, tags.input_tags.two_d_array = True, True, False
        tags.target_tags.multi_output = True
        return tags


def log(line: str) -> None:
    """What `minitx train` prints, to the logger "minitx"; a note about the data is a warning."""
    logging.getLogger("minitx").log(logging.WARNING if line.startswith("note:") else logging.INFO, line)


class MultiTaskClassifier(ClassifierMixin, Settings, OfTexts):
    """`minitx train` on texts and labels that are in memory: an encoder with a head for each column of y.

    Its parameters are the settings of `minitx train` (`minitx.app.settings.Experiment`), under the same names and with
    the same defaults; None is an empty table. Texts X are a list, an array or a column; labels y are

    - (N,) for one head, called "label" or by the name of a pandas Series;
    - (N, tasks), a DataFrame, or a dict of columns, for a head each: "0", "1", ... or by the columns' names.

    None, NaN and "" are no label. A tenth of the rows is held out, to choose the epoch and to calibrate by.

    Attributes:
        classes_: the labels in the order of `predict_proba`'s columns; a list of such arrays for several heads.
        model_: the `MultiTaskModel`.

    `InputError`, which is a ValueError, for texts, labels and settings that cannot be used.
    """

    def fit(self, X: Any, y: Any) -> Self:
        """Train on texts X (N) and labels y, (N,) or (N, tasks)."""
        texts, columns, labels, known = texts_of(X), columns_of(y), {}, {}
        for head, column in columns.items():
            check_consistent_length(texts, column)
            if not (there := ~_missing(column)).any():
                raise InputError(f"y: no text has a label for {head}: all are None, NaN or empty")
            if len({isinstance(label, str) for label in column[there]}) > 1:
                raise InputError(f"y: the labels of {head} are texts and numbers; expected one kind")
            assert_all_finite(values := np.array(column[there].tolist()), input_name="y")
            check_classification_targets(values)
            found, codes = np.unique(values, return_inverse=True)
            known[head] = {str(label): label for label in found}
            labels[head] = np.full(len(texts), NO_LABEL)
            labels[head][there] = codes
        ids: list[str | None] = [str(row) for row in range(len(texts))]
        data = LabelledTexts(texts, labels, {head: tuple(names) for head, names in known.items()}, ids)
        settings = {name: value for name, value in self.get_params().items() if value is not None}
        e = Experiment(data="fit(X, y)", text="text", labels={head: head for head in columns}, **settings)
        job = prepare(e, log, data)
        train(job, False, log)
        job.model.answers = stack(job, False)
        self.model_, self.several_ = job.model, isinstance(y, Mapping) or np.asarray(y).ndim == 2
        classes = [np.array([known[head][name] for name in names]) for head, names in job.model.classes.items()]
        self.classes_ = classes if self.several_ else classes[0]
        return self

    def predict_proba(self, X: Any) -> Any:
        """Probabilities (N, C) of the classes; a list of them for several heads."""
        check_is_fitted(self)
        warn_of_blank(texts := texts_of(X))
        found = [*self.model_.predict_proba(texts, self.batch_size).values()]
        return found if self.several_ else found[0]

    def predict(self, X: Any) -> np.ndarray:
        """The answer to each text: (N,), or (N, tasks) for several heads."""
        p, classes = self.predict_proba(X), self.classes_
        heads = zip(self.model_.classes, *((classes, p) if self.several_ else ([classes], [p])), strict=True)
        said = [labels[self.model_.answers.decide(head, rows)] for head, labels, rows in heads]
        alike = len({labels.dtype.kind for labels in said}) == 1
        return np.stack(said if alike else [s.astype(object) for s in said], axis=1) if self.several_ else said[0]

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """The share of texts whose every label is right, among those that have one."""
        found, heads = columns_of(y), [*self.model_.classes]
        by_name = isinstance(y, Mapping | pd.DataFrame)
        if len(found) != len(heads) or (by_name and found.keys() != set(heads)):
            raise InputError(f"y has the columns {', '.join(found)}; expected {', '.join(heads)}")
        columns = np.stack([found[head] for head in heads] if by_name else [*found.values()], axis=1)
        missing = _missing(columns)
        if (none := missing.all(axis=1)).all():
            raise InputError("y: no text has a label to be right about")
        right = ((self.predict(X).reshape(columns.shape) == columns) | missing).all(axis=1)
        weights = None if sample_weight is None else np.asarray(sample_weight)[~none]
        return float(np.average(right[~none], weights=weights))


@dataclass(eq=False, repr=False)
class SentenceVectors(ClassNamePrefixFeaturesOutMixin, TransformerMixin, OfTexts):
    """Texts as sentence vectors (N, D) of a pretrained encoder, for what follows in a Pipeline.

    Args:
        model: a name or directory, as of `SentenceEncoder.from_pretrained`.
        prompt, batch_size, normalize_embeddings, truncate_dim: as of `SentenceEncoder.encode`.
    """

    model: str = "all-MiniLM-L6-v2"
    prompt: str | None = None
    batch_size: int = 32
    normalize_embeddings: bool = False
    truncate_dim: int | None = None

    def fit(self, X: Any, y: Any = None) -> Self:
        """Load the encoder; nothing is learned from the texts."""
        texts_of(X)
        self.encoder_ = SentenceEncoder.from_pretrained(self.model)
        self.encoder_.encode([], truncate_dim=self.truncate_dim, prompt=self.prompt)  # which refuses what cannot be
        self._n_features_out = self.truncate_dim or self.encoder_.get_embedding_dimension()
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Vectors (N, D) of texts X (N)."""
        check_is_fitted(self)
        options = {name: value for name, value in self.get_params().items() if name != "model"}
        return self.encoder_.encode(texts_of(X), **options)


def texts_of(X: Any) -> list[str]:
    """Texts from a list, an array or a column; `InputError` naming what is no text."""
    texts = np.asarray(X, dtype=object)
    texts = texts[:, 0] if texts.ndim == 2 and texts.shape[1] == 1 else texts
    if texts.ndim != 1:
        raise InputError(f"X has the shape {texts.shape}: expected a list of texts, or one column of them")
    for row, text in enumerate(texts):
        if not isinstance(text, str):
            raise InputError(f"X: row {row} is {text!r:.60}, of type {type(text).__name__}; expected a str")
    return texts.tolist()


def columns_of(y: Any) -> dict[str, np.ndarray]:
    """Head -> its labels (N,) as objects, from a vector, a matrix, a DataFrame or a dict."""
    if isinstance(y, Mapping | pd.DataFrame):
        return {str(head): np.asarray(column, dtype=object) for head, column in y.items()}
    labels = np.asarray(y, dtype=object)
    if labels.ndim not in (1, 2):
        raise InputError(f"MultiTaskClassifier requires y to be passed, but the target y is {y!r:.60}; expected labels")
    if labels.ndim == 2:
        return {str(head): column for head, column in enumerate(labels.T)}
    return {str(getattr(y, "name", None) or "label"): labels}


def _missing(labels: np.ndarray) -> np.ndarray:
    unknown = pd.isna(labels)
    return np.asarray(unknown | (np.where(unknown, "", labels) == ""), bool)
